import type { FuzzPart } from './part.js';

/** By name, in the order they are run. Each is loaded when it is wanted. */
export const FUZZ_PARTS: Readonly<Record<string, () => Promise<FuzzPart>>> = {
  wire: async () => (await import('./wire.js')).wirePart,
  engine: async () => (await import('./engine.js')).enginePart,
  esp: async () => (await import('./esp.js')).espPart,
  rest: async () => (await import('./rest.js')).restPart,
  control: async () => (await import('./control.js')).controlPart,
  config: async () => (await import('./config.js')).configPart,
};
