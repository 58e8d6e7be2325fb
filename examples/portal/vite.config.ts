import { defineConfig } from 'vite';

// The gateway serves the result as it is, under a policy without inline script: no polyfill, no inlined asset.
export default defineConfig({
  build: { target: 'es2022', modulePreload: { polyfill: false }, assetsInlineLimit: 0, reportCompressedSize: false },
  // `npm run dev` against a running demo: CW_GATEWAY=https://clinicwave.localhost:8443 npm run dev. The gateway must see its own origin.
  server: {
    proxy: Object.fromEntries(
      ['/auth', '/api'].map((path) => [
        path,
        {
          target: process.env.CW_GATEWAY ?? 'https://clinicwave.localhost:8443',
          changeOrigin: true,
          secure: false,
          headers: { origin: process.env.CW_GATEWAY ?? 'https://clinicwave.localhost:8443' },
        },
      ]),
    ),
  },
});
