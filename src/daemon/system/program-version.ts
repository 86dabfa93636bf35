import { createRequire } from 'node:module';

/** Version of this program, from its package.json. */
export const { version: programVersion } = createRequire(import.meta.url)('../../../package.json') as {
  readonly version: string;
};
