import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import type { IkeEvent } from '../../src/ike/events.js';
import { EventLines } from '../../src/telemetry/event-lines.js';
import { EventLog } from '../../src/telemetry/event-log.js';
import { createLogger, type LogFormat } from '../../src/telemetry/log.js';
import type { LogLevel } from '../../src/telemetry/log-levels.js';
import { RepeatFolder } from '../../src/telemetry/repeats.js';
import { textLine } from '../../src/telemetry/text-format.js';
import { fromHex, utf8 } from '../../src/util/bytes.js';
import { SecretKey } from '../../src/util/secret.js';
import { comesUp } from '../connection/samples.js';

const PEER = { address: '192.0.2.2', port: 500 };

function sink(level: LogLevel = 'info', format: LogFormat = 'json') {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  return { lines, logger: createLogger({ level, format, destination }) };
}

t.test('JSON lines by default, text for a terminal, level by option', async (t) => {
  const { lines, logger } = sink('warn');
  logger.info('quiet');
  logger.warn({ connection: 'c' }, 'loud');
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0]!), { level: 40, connection: 'c', msg: 'loud', time: /^\d{4}-.*Z$/ });
  const terminal: string[] = [];
  createLogger({ destination: { write: (line) => terminal.push(line), isTTY: true } }).info(
    { n: 1 },
    'hello',
  );
  t.match(terminal[0], /^\d{4}-\S+Z INFO {2}hello n=1\n$/);
});

t.test('the text form cannot be forged by what a peer sends', async (t) => {
  const line = textLine(
    JSON.stringify({ level: 30, time: 'T', connection: 'c', msg: 'a\nb\u001b[2J', x: 'y\r' }),
  );
  t.equal(line, 'T INFO  c: a\\x0ab\\x1b[2J x=y\\x0d\n');
  t.equal(textLine('no json'), 'no json\n');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const made = textLine(JSON.stringify({ level: 30, time: 'T', msg: text }));
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none of these may be left
      return !/[\u0000-\u001f\u007f-\u009f]/.test(made.slice(0, -1)) && made.endsWith('\n');
    }),
  );
});

t.test('no secret is shown in any form', async (t) => {
  const psk = 'correct-horse-battery';
  const octets = fromHex('00112233445566778899aabbccddeeff');
  const forms = [psk, Buffer.from(psk).toString('hex'), Buffer.from(psk).toString('base64')];
  forms.push('00112233445566778899aabbccddeeff', '0,17,34,51', '"0":0,"1":17', '[0,17,34', '<00 11 22');
  for (const format of ['json', 'text'] as const) {
    const { lines, logger } = sink('trace', format);
    const key = new SecretKey(Uint8Array.from(octets));
    logger.info(
      { psk, child: { keysIn: { encryption: octets }, psk }, list: [{ a: { b: octets } }] },
      'made',
    );
    logger.info(
      { key, deep: { key }, buffer: Buffer.from(octets), pskKey: new SecretKey(utf8(psk)) },
      `${key}`,
    );
    logger.error({ err: new Error(`bad ${inspect(key)}`) }, 'failed');
    const all = lines.join('');
    t.equal(lines.length, 3);
    for (const form of forms) t.notOk(all.includes(form), `${format}: not ${form.slice(0, 12)}`);
    t.ok(all.includes('[redacted]'));
    t.ok(all.includes('[16 octets]'));
  }
});

t.test('one info line for a change of state, messages only for debugging', async (t) => {
  const { lines, logger } = sink();
  const log = new EventLines([new EventLog(logger)]);
  for (const event of comesUp('c')) log.on(event, 0);
  log.on({ kind: 'message', direction: 'in', peer: PEER, summary: 'IKE_AUTH' }, 0);
  log.on({ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'peer-deleted' }, 0);
  const records = lines.map((line) => JSON.parse(line));
  t.match(records, [
    {
      connection: 'c',
      event: 'ike-established',
      msg: /established as initiator with fqdn:b.example.*aes256-sha256-group_14/,
    },
    {
      event: 'child-established',
      msg: /10\.1\.0\.0\/24 === 10\.2\.0\.0\/24, aes128gcm16 in UDP/,
      spi_in: 'c0000001',
    },
    { event: 'ike-closed', msg: /the peer sent DELETE/ },
  ]);
  const debug = sink('debug');
  const message = { kind: 'message', direction: 'out', peer: PEER, summary: 'IKE_AUTH [SK]' } as const;
  new EventLines([new EventLog(debug.logger)]).on(message, 0);
  t.match(JSON.parse(debug.lines[0]!), { level: 20, msg: 'out to 192.0.2.2:500: IKE_AUTH [SK]' });
});

t.test('a failure has its cause, the evidence and the advice', async (t) => {
  const { lines, logger } = sink();
  const details = { ours: ['A'], theirs: ['B'] };
  const failure = { cause: 'ike_proposal_mismatch', message: 'no common proposal', details } as const;
  const event: IkeEvent = { kind: 'ike-failed', connection: 'c', role: 'responder', peer: PEER, failure };
  new EventLines([new EventLog(logger)]).on(event, 0);
  t.match(JSON.parse(lines[0]!), {
    level: 40,
    connection: 'c',
    cause: 'ike_proposal_mismatch',
    theirs: ['B'],
    msg: /refused 192\.0\.2\.2:500: No common proposal\. Make one/,
  });
});

t.test('a flood of datagrams is a handful of lines, and none is forgotten', async (t) => {
  const { lines, logger } = sink();
  const log = new EventLines([new EventLog(logger)]);
  const drop = (reason: 'malformed' | 'unknown_spi', n: number): IkeEvent => ({
    kind: 'datagram-dropped',
    reason,
    peer: { address: `198.51.100.${n % 250}`, port: n },
    detail: 'cut short',
  });
  for (let i = 0; i < 20_000; i++) {
    log.on(drop(i % 2 === 0 ? 'malformed' : 'unknown_spi', i), i);
    if (i % 1000 === 0) log.flush(i);
  }
  log.flush(Number.POSITIVE_INFINITY);
  t.ok(lines.length <= 8, `${lines.length} lines`);
  const total = lines
    .map((line) => JSON.parse(line))
    .reduce((sum, { repeats }) => sum + 1 + (repeats ?? 0), 0);
  t.equal(total, 20_000, 'every datagram is counted');
});

t.test(
  'more sources of refusals than are told apart are one line more, and every refusal is counted',
  async (t) => {
    const { lines, logger } = sink();
    const log = new EventLines([new EventLog(logger)]);
    const failure = { cause: 'ike_proposal_mismatch', message: 'no common proposal' } as const;
    for (let n = 0; n < 1000; n++) {
      const peer = { address: `198.51.${n >> 8}.${n & 255}`, port: 500 };
      log.on({ kind: 'ike-failed', role: 'responder', peer, failure }, 0);
    }
    log.flush(10_000);
    t.equal(lines.length, 258, '256 sources, one of all others, and the last of these');
    t.match(JSON.parse(lines.at(-1)!), {
      level: 40,
      repeats: 742,
      msg: /^refused 198\.51\.3\.231:500: .* \(and 742 more\)$/,
    });
  },
);

t.test('a silent peer: one line of each kind, then one an hour, and news at once', async (t) => {
  const { lines, logger } = sink();
  const log = new EventLines([new EventLog(logger)]);
  const MINUTE = 60_000;
  const attempt = (connection: string, at: number): void => {
    log.on({ kind: 'ike-initiating', connection, ikeId: at, peer: PEER, version: 2 }, at);
    const failure = { cause: 'peer_silent', message: 'no answer' } as const;
    log.on({ kind: 'ike-failed', connection, ikeId: at, role: 'initiator', peer: PEER, failure }, at);
    log.flush(at);
  };
  for (let minute = 0; minute < 180; minute++) attempt('c', minute * MINUTE);
  t.equal(lines.length, 6, 'three hours');
  t.same(
    lines.map((line) => JSON.parse(line).repeats ?? 0),
    [0, 0, 59, 59, 59, 59],
    'none is forgotten',
  );
  attempt('d', 181 * MINUTE);
  const after = lines.slice(6).map((line) => JSON.parse(line));
  t.match(after, [
    { connection: 'd', event: 'ike-initiating' },
    { connection: 'd', event: 'ike-failed' },
    { msg: /and 58 more/ },
    { msg: /and 58 more/ },
  ]);
  for (const event of comesUp('c')) log.on(event, 182 * MINUTE);
  lines.length = 0;
  attempt('c', 183 * MINUTE);
  t.match(
    lines.map((line) => JSON.parse(line)),
    [
      { connection: 'c', event: 'ike-initiating' },
      { connection: 'c', event: 'ike-failed', cause: 'peer_silent' },
    ],
    'once it was up, silence is news again',
  );
});

t.test('every event has a line', async (t) => {
  const connection = 'c';
  const failure = { cause: 'psk_mismatch', message: 'x' } as const;
  const events: IkeEvent[] = [
    ...comesUp('c'),
    { kind: 'ike-initiating', connection, ikeId: 1, version: 2, peer: PEER },
    { kind: 'ike-responding', ikeId: 1, version: 2, peer: PEER },
    { kind: 'ike-closed', connection, ikeId: 1, reason: 'peer-dead', failure },
    { kind: 'ike-failed', role: 'initiator', peer: PEER, failure },
    { kind: 'ike-failed', role: 'initiator', peer: PEER, failure: { cause: 'terminated', message: 'x' } },
    { kind: 'child-closed', connection, childId: 1, reason: 'rekeyed' },
    { kind: 'child-failed', connection, ikeId: 1, role: 'initiator', failure },
    { kind: 'peer-moved', connection, ikeId: 1, from: PEER, to: PEER },
    { kind: 'liveness-probe', connection, ikeId: 1, idle: 2000 },
    { kind: 'retransmit', ikeId: 1, exchange: 'IKE_AUTH', attempt: 1, peer: PEER },
    { kind: 'cookie-demanded', peer: PEER, halfOpen: 30 },
    { kind: 'cookie-answered', connection, ikeId: 1, peer: PEER },
    { kind: 'ke-group-changed', connection, ikeId: 1, from: 14, to: 19 },
    { kind: 'advisory', connection, code: 'weak_algorithm', message: '3des is weak' },
    { kind: 'quirk', connection, code: 'trailing_zeros' },
    { kind: 'datagram-dropped', reason: 'malformed', peer: PEER, detail: 'x' },
  ];
  const { lines, logger } = sink('debug');
  const log = new EventLines([new EventLog(logger)]);
  for (const event of events) log.on(event, 0);
  t.equal(lines.length, events.length);
  for (const line of lines) t.notMatch(JSON.parse(line).msg, /undefined|\[object/);
});

t.test('the folder bounds the kinds it remembers', async (t) => {
  const folder = new RepeatFolder(1000, 4);
  let written = 0;
  for (let i = 0; i < 1000; i++) if (folder.admit(`kind ${i}`, 'x', 0).write) written++;
  t.equal(written, 5, 'four kinds and one for all others');
  t.same(folder.due(500), []);
  t.same(folder.due(1000), [{ kind: 'other', line: 'x', repeats: 995 }]);
  t.same(folder.admit('kind 0', 'x', 3000), { write: true, repeats: 0 });
});
