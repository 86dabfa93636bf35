import { url } from 'node:inspector';
import { CliError } from './errors.js';

/** The options of Node that open its inspector (`--inspect`, `--inspect-brk`, `--inspect-wait`), however spelt. */
const INSPECT = /(^|\s)--inspect(?!-port|-publish-uid)/;

/**
 * Makes sure that no process can attach a debugger to a process that holds keys and rights: a process that reaches the
 * inspector may run any code in it.
 * @throws CliError when Node was started with its inspector
 */
export function refuseInspector(
  options: readonly string[] = process.execArgv,
  environment: string = process.env.NODE_OPTIONS ?? '',
): void {
  const from = options.some((option) => INSPECT.test(option))
    ? 'node'
    : INSPECT.test(environment)
      ? 'NODE_OPTIONS'
      : undefined;
  if (from === undefined && url() === undefined) return;
  throw new CliError(
    "Node's inspector is open, by which every user of this machine could take the gateway over; " +
      `start without --inspect${from === 'NODE_OPTIONS' ? ' in NODE_OPTIONS' : ''}`,
  );
}
