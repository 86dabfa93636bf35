import { register } from 'node:module';

/*
 * Loads TypeScript for tests: types are taken out once per change of a file, and what is left is kept. The loader that
 * the test runner brings compiles every file in every process, which is most of what a small test costs; it stands
 * back when it finds this one.
 */
process.env.TAP_TYPE_STRIP_ONLY = '1';
register('./typescript-hooks.mjs', import.meta.url);
