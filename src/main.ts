#!/usr/bin/env node
// Node answers SIGUSR1 by opening its inspector to every user of the machine, unless somebody listens for it: the
// listener comes before everything else is loaded, which takes its time.
process.on('SIGUSR1', () => undefined);

// Libraries that are loaded below need it, and say so in a way that nobody understands.
if (!('WebAssembly' in globalThis)) {
  process.stderr.write(
    'culvert: this Node has no WebAssembly, which the program needs; start it without --jitless\n',
  );
  process.exit(1);
}

const { runProgram } = await import('./cli/program.js');
const { processTerminal, surviveClosedPipes } = await import('./cli/terminal.js');

surviveClosedPipes();
process.exitCode = await runProgram(process.argv.slice(2), processTerminal());
