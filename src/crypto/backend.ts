import { createOpensslBackend } from './backends/openssl/backend.js';
import { createPortableBackend } from './backends/portable/backend.js';
import type { CryptoBackend } from './types.js';

export { createOpensslBackend, createPortableBackend };

/** The names under which an operator chooses a backend; the first is the default. */
export const BACKEND_NAMES = ['openssl', 'portable'] as const;

/** One of these names. */
export type BackendName = (typeof BACKEND_NAMES)[number];

/** The backend of this name. */
export function createBackend(name: BackendName): CryptoBackend {
  switch (name) {
    case 'openssl':
      return createOpensslBackend();
    case 'portable':
      return createPortableBackend();
  }
}
