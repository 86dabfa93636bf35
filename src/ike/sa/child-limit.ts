import type { Failure } from '../events.js';

/** The peer wants more child SAs than the connection may have. */
export function tooManyChildren(limit: number): Failure {
  return {
    cause: 'child_sa_limit',
    message: `the peer asks for a further child SA, and there are as many as the connection may have: ${limit}`,
  };
}
