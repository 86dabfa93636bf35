/**
 * `culvert/crypto`: what `culvert/ike` and `culvert/esp` take as `crypto`. The `openssl` backend calls node:crypto; the
 * `portable` one is JavaScript throughout and runs wherever JavaScript does.
 */
export { BACKEND_NAMES, type BackendName, createBackend } from './backend.js';
export type * from './types.js';
