// A Node.js service that registers itself with npm's eureka-js-client, as its users write it.
// usage: greeter.mjs DEPS PORT REGISTRY_PORT
import http from "node:http";
import {createRequire} from "node:module";

const [deps, port, registryPort] = process.argv.slice(2);
const {Eureka} = createRequire(`${deps}/package.json`)("eureka-js-client");

const client = new Eureka({
  instance: {
    instanceId: `node:${port}`, app: "greeter-js", hostName: "localhost", ipAddr: "127.0.0.1", vipAddress: "greeter-js",
    port: {$: Number(port), "@enabled": true},
    dataCenterInfo: {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", name: "MyOwn"},
  },
  eureka: {
    host: "127.0.0.1", port: Number(registryPort), servicePath: "/eureka/apps/",
    heartbeatInterval: 1000, registryFetchInterval: 500, maxRetries: 1,
  },
});

http.createServer((request, response) => {
  const asked = new URL(request.url, "http://localhost").searchParams;
  const application = asked.get("application");
  const pages = (i) => [i.homePageUrl, i.statusPageUrl, i.healthCheckUrl].join(" ");
  const found = asked.has("pages") ? client.getInstancesByAppId(asked.get("pages")).map(pages).sort().join() : application ? client.getInstancesByAppId(application).map((i) => `${i.hostName}:${i.port.$}`).sort().join() : "hello from Node.js";
  response.setHeader("Content-Type", "text/plain");
  response.end(found);
}).listen(Number(port), "127.0.0.1", () => client.start((error) => console.log(error ?? "registered")));

process.on("SIGTERM", () => client.stop((error) => process.exit(error ? 1 : 0)));
