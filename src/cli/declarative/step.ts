import type { ConfigPath } from '../../store/config-error.js';

/** One step of a transaction, as the API takes it. */
export interface StepRequest {
  readonly operation: string;
  readonly gateway?:
    | { readonly id: string }
    | { readonly name: string; readonly vpc: { readonly id: string } };
  readonly vpc?: { readonly id: string };
  /** A routing table of the VPC. */
  readonly table?: { readonly id: string } | { readonly name: string };
  readonly id?: string;
  readonly body?: object;
}

/** One request of a plan, with the words for it. */
export interface Step {
  readonly request: StepRequest;
  /** What it changes, in words. */
  readonly object: string;
  /** Where the file speaks of it; absent for what the file does not name. */
  readonly place?: ConfigPath;
}

/** What happens to an object; `replace` deletes it and creates it with the same name. */
export type Verb = 'create' | 'update' | 'replace' | 'delete';
