import { OperatorError } from '../util/operator-error.js';

/** Why the daemon cannot start or carry out a request, in one line, and what the operator can do about it. */
export class StartError extends OperatorError {
  override readonly name = 'StartError';
  declare readonly remedy: string;

  constructor(what: string, remedy: string) {
    super({ what, remedy });
  }
}
