import { defineConfig } from 'vite';

export default defineConfig({
  build: {
    target: 'es2022',
    // Players are big and come only when somebody watches.
    chunkSizeWarningLimit: 1200,
    // The policy of the page allows no inline code.
    modulePreload: { polyfill: false },
  },
  server: {
    // `npm run dev` beside a running service.
    proxy: { '/v1': { target: 'http://127.0.0.1:8080', ws: true } },
  },
});
