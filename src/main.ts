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

/** Where the program is: in the bundle of `npm run build`, unless something was compiled after it was made. */
const folder = (await isBundled()) ? './bundled/cli' : './cli';
const { processTerminal, surviveClosedPipes }: typeof import('./cli/terminal.js') = await import(
  `${folder}/terminal.js`
);
surviveClosedPipes();

const argv = process.argv.slice(2);
const terminal = processTerminal();
process.exitCode = (argv[0] === 'gateway-process' ? await startPlainly() : undefined) ?? (await runAny());

async function isBundled(): Promise<boolean> {
  const { statSync } = await import('node:fs');
  const madeAt = (name: string): number =>
    statSync(new URL(name, import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const bundled = madeAt('./bundled/.stamp');
  return bundled > 0 && bundled >= madeAt('./.tsbuildinfo');
}

async function startPlainly(): Promise<number | undefined> {
  const { startGatewayProcess }: typeof import('./cli/gateway-start.js') = await import(
    `${folder}/gateway-start.js`
  );
  return await startGatewayProcess(argv, terminal);
}

async function runAny(): Promise<number> {
  const { runProgram }: typeof import('./cli/program.js') = await import(`${folder}/program.js`);
  return await runProgram(argv, terminal);
}
