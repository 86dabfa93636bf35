import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { ConnectionStatusDocument } from '../../../src/connection/status.js';
import { commandLine } from '../../helpers/command-line.js';
import { innerPacket } from '../../helpers/esp.js';
import { GatewayBench, isUp, type TestGateway } from '../../helpers/gateway-pair.js';
import { skipWithoutTshark } from '../../helpers/tshark.js';

const skip = skipWithoutTshark();
const TO_B = innerPacket('10.1.0.9', '10.2.0.9', 300);
const TO_A = innerPacket('10.2.0.9', '10.1.0.9', 200);

const CBC = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256' };
const GCM = { encryption_algorithm: 'aes128gcm16', authentication_algorithm: 'disabled' };

/** Payloads and messages by which the steps of a life are known once they are decrypted. */
const V1 = { main: '2', quick: '32', informational: '5', delete: '12' } as const;
const V2 = { auth: '35', create: '36', informational: '37', delete: '42' } as const;
const R_U_THERE = '36136';
const REKEY_SA = '16393';

interface Frame {
  readonly exchange: string;
  readonly encrypted: boolean;
  readonly payloads: readonly string[];
  readonly notifies: readonly string[];
  readonly spi: string;
  readonly icv: string;
  readonly destination: string;
  readonly interface: string;
}

const FIELDS = [
  ...['isakmp.exchangetype', 'isakmp.flag_e', 'isakmp.typepayload', 'isakmp.notify.msgtype', 'esp.spi'],
  ...['esp.icv_good', 'ip.dst', 'frame.interface_name'],
];

/** What Wireshark makes of the file with the folder of keys that was written beside it. */
function read(file: string): Frame[] {
  const run = spawnSync(
    'tshark',
    ['-r', file, '-T', 'fields', '-E', 'separator=|', ...FIELDS.flatMap((field) => ['-e', field])],
    { encoding: 'utf8', env: { ...process.env, WIRESHARK_CONFIG_DIR: `${file}.keys` } },
  );
  if (run.status !== 0) throw new Error(run.stderr);
  return run.stdout
    .trim()
    .split('\n')
    .map((line) => {
      const [exchange = '', flag = '', payloads = '', notifies = '', spi = '', icv = '', ip = '', name = ''] =
        line.split('|');
      const types = payloads.split(',');
      // IKEv2 says it by the payload SK or SKF, IKEv1 by a flag.
      const encrypted =
        flag.startsWith('1') || flag === 'True' || types.some((type) => type === '46' || type === '53');
      const list = { payloads: types, notifies: notifies.split(',') };
      return { exchange, encrypted, ...list, spi, icv, destination: ip.split(',').at(-1)!, interface: name };
    });
}

/** Brings the connection from its first message to its last, with traffic in between. */
async function live(a: TestGateway, b: TestGateway): Promise<void> {
  const { core } = a.gateway;
  const { id: connection } = core.connections[0]!;
  const traffic = async (): Promise<void> => {
    const [toB, toA] = [b.device.written.length, a.device.written.length];
    a.device.inject(TO_B);
    b.device.inject(TO_A);
    while (b.device.written.length === toB || a.device.written.length === toA) await sleep(5);
  };
  const spis = ({ children }: ConnectionStatusDocument) => children.map((child) => child.spi_in);
  core.up(connection);
  await Promise.all([a.until(isUp), b.until(isUp)]);
  await traffic();
  const [first] = spis(a.connection());
  core.input({ kind: 'renew', connection, scope: 'children' });
  // With IKEv1 the old one carries the traffic until it is deleted, some seconds later.
  await a.until((one) => spis(one).length > 0 && !spis(one).includes(first!));
  await traffic();
  const ike = a.connection().ike?.initiator_spi;
  core.input({ kind: 'renew', connection, scope: 'ike' });
  await a.until((one) => isUp(one) && one.ike !== null && one.ike.initiator_spi !== ike);
  await traffic();
  // Long enough for questions whether the peer is alive, one second after the last packet.
  await sleep(2500);
  core.down(connection);
  await a.until((one) => one.ike === null && one.children.length === 0);
  await sleep(50);
}

/** The life of one connection, captured at its initiator by the command line. */
async function captured(t: Test, version: 1 | 2, ike: object, ipsec: object): Promise<Frame[]> {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const change = {
    policies: {
      ike_policies: [{ name: 'p', ike_version: version, dh_group: 14, ...ike }],
      ipsec_policies: [{ name: 'p', ...ipsec }],
    },
    connection: {
      ...{ ike_policy: 'p', ipsec_policy: 'p' },
      dead_peer_detection: { action: 'clear', interval: 1, timeout: 10 },
    },
  };
  const a = await bench.start('a', change);
  a.gateway.core.down(a.gateway.core.connections[0]!.id);
  const responder = { ...change, connection: { ...change.connection, establish_mode: 'peer_only' } };
  const b = await bench.start('b', responder);
  const file = `${bench.folder}/life.pcapng`;
  const done = commandLine(
    ...['capture', 'c', '--control', a.control, '-o', file, '--inner', '--keys', '--output', 'json'],
  );
  while (!a.lines.some((line) => line.includes('a capture of c begins'))) await sleep(5);
  await live(a, b);
  await commandLine('capture', 'c', '--control', a.control, '--stop');
  const { code, out, err } = await done;
  t.equal(code, 0, err);
  t.match(JSON.parse(out), { ended: 'stopped', lost: 0, child_sas_without_keys: 0 });
  t.equal(JSON.parse(out).bytes, statSync(file).size);
  return read(file);
}

/** Every packet of ESP was authentic and opened, those after a rekeying, too. */
function checkEsp(t: Test, frames: readonly Frame[]): void {
  const esp = frames.filter(({ spi }) => spi !== '');
  t.ok(esp.length >= 6, `${esp.length} packets of ESP`);
  t.ok(
    esp.every(({ icv }) => icv === '1' || icv === 'True'),
    'every ICV verifies',
  );
  t.ok(new Set(esp.map(({ spi }) => spi)).size >= 4, 'of two child SAs or more');
  t.same(
    new Set(esp.map(({ destination }) => destination)),
    new Set(['10.1.0.9', '10.2.0.9']),
    'and is opened',
  );
  const inner = frames.filter((frame) => frame.interface !== 'outer');
  t.equal(inner.length, esp.length, 'each has its packet inside');
}

const LIVES = [
  [1, 'AES-CBC', CBC, CBC],
  [1, 'AES-CBC, ESP with AES-GCM', CBC, GCM],
  [2, 'AES-CBC', CBC, CBC],
  [2, 'AES-GCM', { ...GCM, authentication_algorithm: 'sha256' }, GCM],
] as const;

t.jobs = LIVES.length;
for (const [version, suite, ike, ipsec] of LIVES) {
  t.test(`Wireshark reads a whole life: IKEv${version}, ${suite}`, { skip, buffered: true }, async (t) => {
    const frames = await captured(t, version, ike, ipsec);
    checkEsp(t, frames);
    const opened = frames.filter(({ encrypted }) => encrypted);
    const has = (exchange: string, test: (frame: Frame) => boolean): boolean =>
      opened.some((frame) => frame.exchange === exchange && test(frame));
    if (version === 2) {
      t.ok(
        has(V2.auth, ({ payloads }) => payloads.includes('44')),
        'IKE_AUTH with traffic selectors',
      );
      t.ok(
        has(V2.create, ({ notifies }) => notifies.includes(REKEY_SA)),
        'a child SA is rekeyed',
      );
      t.ok(
        has(V2.create, (one) => !one.notifies.includes(REKEY_SA) && one.payloads.includes('34')),
        'and the IKE SA',
      );
      t.ok(
        has(V2.informational, ({ payloads }) => payloads.includes(V2.delete)),
        'and deleted',
      );
    } else {
      t.ok(
        has(V1.main, ({ payloads }) => payloads.includes('8')),
        'main mode with its hashes',
      );
      t.ok(
        has(V1.quick, ({ payloads }) => payloads.includes('10')),
        'quick mode with nonces',
      );
      t.ok(
        has(V1.informational, ({ notifies }) => notifies.includes(R_U_THERE)),
        'dead peer detection',
      );
      t.ok(
        has(V1.informational, ({ payloads }) => payloads.includes(V1.delete)),
        'and deleted',
      );
    }
  });
}
