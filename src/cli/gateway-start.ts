import { gatewayProcessCommand } from './commands/gateway-process.js';
import { reportError } from './errors.js';
import { plainArguments } from './plain-arguments.js';
import type { Terminal } from './terminal.js';

/**
 * Runs `culvert gateway-process` as the server writes it, without the rest of the command line: a gateway that was
 * killed is without tunnels until its successor runs.
 * @returns the exit code; undefined for a command line that is written in another way, which is left to yargs
 */
export async function startGatewayProcess(
  argv: readonly string[],
  terminal: Terminal,
): Promise<number | undefined> {
  const [name, ...rest] = argv;
  const args = name === gatewayProcessCommand.name ? plainArguments(gatewayProcessCommand, rest) : undefined;
  if (args === undefined) return undefined;
  try {
    return await gatewayProcessCommand.run(args as never, terminal);
  } catch (thrown) {
    return reportError(thrown, terminal);
  }
}
