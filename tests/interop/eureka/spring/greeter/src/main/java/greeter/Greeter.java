package greeter;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A stock service: it registers itself by being one. */
@SpringBootApplication
@RestController
public class Greeter {
    private final DiscoveryClient discovery;

    public Greeter(DiscoveryClient discovery) {
        this.discovery = discovery;
    }

    @GetMapping("/hello")
    public String hello() {
        return "hello from Spring";
    }

    /** What the stock client has fetched: the ports of an application's instances. */
    @GetMapping("/seen")
    public String seen(String application) {
        return discovery.getInstances(application).stream().map(i -> i.getHost() + ":" + i.getPort()).sorted().toList().toString();
    }

    public static void main(String[] args) {
        SpringApplication.run(Greeter.class, args);
    }
}
