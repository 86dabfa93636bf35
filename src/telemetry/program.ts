import { createRequire } from 'node:module';

/** Version and SPDX licence of this program, from its package.json. */
export const { version: programVersion, license: programLicense } = createRequire(import.meta.url)(
  '../../package.json',
) as { readonly version: string; readonly license: string };
