#!/usr/bin/env node
// Node answers SIGUSR1 by opening its inspector to every user of the machine, unless a listener is installed: the
// listener comes before everything else is loaded, which takes its time.
process.on('SIGUSR1', () => undefined);

// Libraries that are loaded below need it, and say so in words that do not help.
if (!('WebAssembly' in globalThis)) {
  process.stderr.write(
    'culvert: this Node has no WebAssembly, which the program needs; start it without --jitless\n',
  );
  process.exit(1);
}

const { processTerminal, surviveClosedPipes } = await import('./cli/terminal.js');
surviveClosedPipes();

const argv = process.argv.slice(2);
const terminal = processTerminal();
process.exitCode = (argv[0] === 'gateway-process' ? await startPlainly() : undefined) ?? (await runAny());

async function startPlainly(): Promise<number | undefined> {
  const { startGatewayProcess } = await import('./cli/gateway-start.js');
  return await startGatewayProcess(argv, terminal);
}

async function runAny(): Promise<number> {
  const { runProgram } = await import('./cli/program.js');
  return await runProgram(argv, terminal);
}
