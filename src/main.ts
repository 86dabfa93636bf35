#!/usr/bin/env node
// Node answers SIGUSR1 by opening its inspector to every user of the machine, unless somebody listens for it: the
// listener comes before everything else is loaded, which takes its time.
process.on('SIGUSR1', () => undefined);

const { runProgram } = await import('./cli/program.js');
const { processTerminal, surviveClosedPipes } = await import('./cli/terminal.js');

surviveClosedPipes();
process.exitCode = await runProgram(process.argv.slice(2), processTerminal());
