import { setTimeout as pause } from 'node:timers/promises';
import { defineCommand } from '../command.js';
import { CliError, ExitCode, messageOf, UsageError } from '../errors.js';
import type { Pair } from '../pair/pair.js';
import type { PairReport } from '../pair/report.js';
import { SITE_A, SITE_B } from '../pair/site-network.js';
import { programWords } from '../program-path.js';
import { parseSuite, SUITE_HELP, type Suite } from '../suite.js';
import type { Terminal } from '../terminal.js';

const REFRESH_MS = 2000;
const PINGS = 5;

export const pairCommand = defineCommand({
  name: 'pair',
  operands: '',
  description:
    'Run two gateways in network namespaces of this machine, with a tunnel between them and traffic through it',
  positionals: {},
  options: {
    once: { type: 'boolean', default: false, describe: 'End after the traffic, with exit code 0 or 1' },
    suite: { type: 'string', requiresArg: true, describe: SUITE_HELP },
    'ike-version': { choices: ['1', '2'] as const, default: '2', describe: 'IKE version' },
    seconds: { type: 'number', requiresArg: true, default: 3, describe: 'Length of each TCP transfer' },
    'keep-logs': { type: 'string', requiresArg: true, describe: "Folder for both gateways' logs" },
  },
  examples: [
    ['pair --once', 'Ping and TCP through a tunnel of auto-negotiated algorithms'],
    ['pair --once --suite aes128gcm16', 'The same with AES-GCM for IKE and ESP'],
    ['pair --once --ike-version 1', 'The same by IKEv1 main mode'],
    ['pair --suite aes256-sha256-modp2048/aes256-sha256-x25519', 'IKE and ESP apart, ESP with PFS'],
    ['pair', 'Stays up, so that culvert status and others can be tried; Ctrl-C ends it'],
  ],
  epilogue:
    'The network: lan-a 10.1.0.10 - gw-a 192.0.2.1 = gw-b 192.0.2.2 - lan-b 10.2.0.10. Root is not needed where ' +
    'user namespaces are allowed. Nothing is left behind.\n' +
    'Exit codes: 0 traffic crossed in both directions, 1 it did not, 2 wrong usage.',
  async run(args, terminal) {
    const { seconds, once, output } = args;
    if (!(seconds > 0 && seconds <= 3600)) {
      throw new UsageError('--seconds takes a number above 0 and up to 3600');
    }
    const suite: Suite | undefined = args.suite === undefined ? undefined : parseSuite(args.suite);
    // Loaded late: the other commands have no need of it.
    const { checkPairPossible } = await import('../pair/preflight.js');
    const { runPair } = await import('../pair/run-pair.js');
    checkPairPossible();
    const interrupt = new AbortController();
    const stop = (): void => interrupt.abort(new CliError('interrupted'));
    process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
    const json = output === 'json';
    const report = await runPair({
      suite,
      ikeVersion: args['ike-version'] === '1' ? 1 : 2,
      suiteText: args.suite ?? null,
      seconds,
      pings: PINGS,
      keepLogs: args['keep-logs'],
      signal: interrupt.signal,
      progress: (text) => {
        if (!json) terminal.note(terminal.errorStyle.dim(text));
      },
      ...(once ? {} : { stay: (pair, report) => stay(pair, report, json, terminal, interrupt.signal) }),
    });
    if (interrupt.signal.aborted && !json) {
      terminal.note('culvert: both gateways have ended, and their namespaces are gone');
    }
    // Without --once a good report has been shown already.
    if (once || !report.ok) await show(report, json, terminal);
    return report.ok ? ExitCode.done : ExitCode.failed;
  },
});

async function show(report: PairReport, json: boolean, terminal: Terminal): Promise<void> {
  if (json) return terminal.json(report);
  const { renderPairReport } = await import('../pair/report.js');
  terminal.lines(
    renderPairReport(report, { style: terminal.style, width: terminal.width(), now: Date.now() }),
  );
}

/** Shows the two until Ctrl-C: again and again on a terminal, once elsewhere. */
async function stay(
  pair: Pair,
  report: PairReport,
  json: boolean,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  for (let current = report; !signal.aborted; ) {
    if (!json) terminal.clear();
    await show(current, json, terminal);
    if (!json)
      terminal.lines([
        '',
        'Both gateways are running; Ctrl-C ends them. To look at them:',
        ...hints(report, pair),
      ]);
    do {
      try {
        await Promise.race([pause(REFRESH_MS, undefined, { signal }), pair.lost]);
      } catch (error) {
        if (signal.aborted) return;
        throw error instanceof CliError ? error : new CliError(messageOf(error));
      }
    } while (json || !terminal.isTty);
    const statuses = await pair.statuses();
    current = { ...report, sites: report.sites.map((site, i) => ({ ...site, status: statuses[i] ?? null })) };
  }
}

function hints(report: PairReport, pair: Pair): string[] {
  const enter = pair.lab.enterWords(SITE_A.host).join(' ');
  return [
    ...report.sites.map((site) => `  ${programWords()} status --control ${site.control}`),
    `and to use the tunnel, from ${SITE_A.host} to ${SITE_B.host} (or bash in place of ping):`,
    `  ${enter} ping ${SITE_B.hostAddress}`,
  ];
}
