import { createSocket } from 'node:dgram';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { CryptoBackend } from '../../src/crypto/types.js';
import { ControlClient } from '../../src/daemon/control/client.js';
import type { ResolvedName } from '../../src/daemon/system/names-service.js';
import { innerPacket } from '../helpers/esp.js';
import { ADDRESS, GatewayBench, isUp, PSK, type TestGateway } from '../helpers/gateway-pair.js';
import type { TestDevice } from '../helpers/portable-plane.js';

async function bench(t: { teardown(fn: () => unknown): unknown }): Promise<GatewayBench> {
  const made = new GatewayBench();
  t.teardown(() => made.dispose());
  return made;
}

/** Sends one packet from one host into the tunnel and waits until the other host has it. */
async function passes(from: TestDevice, to: TestDevice, packet: Uint8Array): Promise<boolean> {
  const before = to.written.length;
  from.inject(packet);
  for (let i = 0; i < 300 && to.written.length === before; i++) await sleep(5);
  const got = to.written.at(-1);
  return to.written.length === before + 1 && got !== undefined && Buffer.from(got).equals(packet);
}

/** A backend that keeps a copy, in hexadecimal, of every key it is given. */
function recordingBackend(): { crypto: CryptoBackend; secrets: Set<string> } {
  const inner = createOpensslBackend();
  const secrets = new Set<string>();
  /** Every function here takes its key first; DH groups have none to copy. */
  const watched = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(of, name) {
        const value: unknown = Reflect.get(of, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (args[0] instanceof Uint8Array && args[0].length >= 16)
            secrets.add(Buffer.from(args[0]).toString('hex'));
          return Reflect.apply(value, of, args) as unknown;
        };
      },
    });
  const crypto: CryptoBackend = {
    name: inner.name,
    supports: (need) => inner.supports(need),
    hash: (name, ...chunks) => inner.hash(name, ...chunks),
    prf: (id) => watched(inner.prf(id)),
    integrity: (id) => watched(inner.integrity(id)),
    cipher: (id, keyBits) => watched(inner.cipher(id, keyBits)),
    dh: (id) => inner.dh(id),
    keyExchange: (id) => inner.keyExchange(id),
  };
  return { crypto, secrets };
}

const TO_B = innerPacket('10.1.0.5', '10.2.0.7', 200);
const TO_A = innerPacket('10.2.0.7', '10.1.0.5', 1300);

t.test('keys that others can read or guess are told of at the start', async (t) => {
  const made = await bench(t);
  const path = join(made.folder, 'a.yaml');
  writeFileSync(path, 'its text is of no matter here', { mode: 0o644 });
  const a = await made.start('a', { connection: { psk: 'correct-horse' } });
  const log = a.lines.join('');
  t.match(log, `the file ${path} holds pre-shared keys and is accessible by group or others (mode 644)`);
  t.match(log, /The pre-shared key is made of words/);
  t.match(a.connection().advisories.at(-1), { code: 'weak_psk', message: /culvert psk/ });
  t.notMatch(log + JSON.stringify(a.gateway.status()), 'correct-horse');
  chmodSync(path, 0o600);
  const b = await made.start('b');
  t.notMatch(b.lines.join(''), /accessible|made of words/);
});

t.test('two gateways come up by themselves and carry packets both ways', async (t) => {
  const pair = await bench(t);
  const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
  t.match(b.connection().status_reasons, [{ details: { cause: 'waiting_for_peer' } }]);
  const a = await pair.start('a');
  await a.until(isUp);
  const seen = await b.until(isUp);
  t.match(seen.ike, { role: 'responder', version: 2, encryption: 'aes256gcm16', dh_group: 'group_31' });
  t.strictSame(seen.ike?.additional_key_exchanges, ['ml_kem_768'], 'what two of them agree on');
  t.ok(await passes(a.device, b.device, TO_B));
  t.ok(await passes(b.device, a.device, TO_A));
  const [child] = a.connection().children;
  t.match(child, { packets_out: 1, packets_in: 1, bytes_out: 200, bytes_in: 1300, encapsulation: 'udp' });
  t.equal(child?.spi_in, b.connection().children[0]?.spi_out);
  a.device.inject(innerPacket('10.9.0.1', '10.2.0.7', 100));
  t.match(a.gateway.status().gateway, { name: 'site-a', data_plane: 'portable', drops: { no_policy: 1 } });

  await a.gateway.stop();
  await b.until((connection) => connection.status === 'down');
  t.match(
    b.lines.map((line) => JSON.parse(line)).filter((line) => line.event === 'ike-closed'),
    [{ reason: 'peer-deleted', connection: 'c' }],
    'the peer was told',
  );
  t.notOk(existsSync(a.control), 'the control socket is gone');
  t.equal(a.device.receiver, undefined, 'the device is let go');
  await a.gateway.stop();
});

t.test('nothing secret is in the log or the status of a whole session', async (t) => {
  const pair = await bench(t);
  const { crypto, secrets } = recordingBackend();
  const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
  const a = await pair.start('a', {}, { crypto });
  await a.until(isUp);
  await b.until(isUp);
  t.ok(await passes(a.device, b.device, TO_B));
  const client = await ControlClient.connect(a.control);
  const status = JSON.stringify(await client.status());
  client.close();
  await a.gateway.stop();
  await b.gateway.stop();
  t.ok(secrets.size > 8, 'keys of PRF, IKE and ESP were seen');
  secrets.add(Buffer.from(PSK).toString('hex'));
  const text = [...a.lines, ...b.lines, status].join('\n');
  t.ok(text.length > 2000, 'there is a log, messages included');
  t.match(text, /IKE_AUTH/);
  for (const secret of secrets) {
    for (const encoding of ['utf8', 'hex', 'base64', 'latin1'] as const) {
      t.notOk(text.includes(Buffer.from(secret, 'hex').toString(encoding)), `not as ${encoding}`);
    }
  }
  // Long runs of hexadecimal digits could only be keys: SPIs have 8 and 16 of them.
  t.notMatch(text, /[0-9a-f]{40}/, 'and nothing that looks like a key');
});

t.test('an operator takes it down, it stays down, and up brings it back', async (t) => {
  const pair = await bench(t);
  const b = await pair.start('b');
  const a = await pair.start('a', { connection: { establish_mode: 'bidirectional' } });
  await a.until(isUp);
  await b.until(isUp);
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  await client.down({ name: 'c' });
  const down = await a.until((connection) => connection.status === 'down');
  t.match(down.advisories, [{ code: 'stopped_by_operator' }]);
  await b.until((connection) => connection.status === 'down');
  // The peer wants it and tries again; we refuse as long as the operator says so.
  const refused = await b.until((connection) =>
    connection.status_reasons.some(
      (reason) => reason.details?.role === 'initiator' && reason.details.cause !== 'peer_deleted',
    ),
  );
  t.equal(refused.status, 'down');
  t.equal(a.connection().status, 'down');
  const lines: string[] = [];
  const up = await client.up({ name: 'c', wait: true }, (line) => lines.push(line));
  t.equal(up.status, 'up');
  t.same(
    up.advisories.filter((advisory) => advisory.code === 'stopped_by_operator'),
    [],
  );
  t.match(lines.join('\n'), /child SA \d+ established/);
  await b.until(isUp);
  t.ok(await passes(a.device, b.device, TO_B));
});

t.test('a wrong pre-shared key is told at both ends', async (t) => {
  const pair = await bench(t);
  const b = await pair.start('b', {
    connection: { establish_mode: 'peer_only', psk: 'another-key-entirely' },
  });
  const a = await pair.start('a');
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  await t.rejects(client.up({ name: 'c', wait: true, timeout: 20 }), {
    code: 'failed',
    message: /c is not up\. .*key/,
  });
  const atA = await a.until((connection) => connection.status_reasons.length > 0);
  t.match(atA.status_reasons, [
    {
      code: 'cannot_authenticate_connection',
      details: { cause: 'authentication_refused', role: 'initiator' },
    },
  ]);
  const atB = await b.until((connection) =>
    connection.status_reasons.some((reason) => reason.details?.cause !== 'waiting_for_peer'),
  );
  t.match(atB.status_reasons, [
    { code: 'cannot_authenticate_connection', details: { cause: 'psk_mismatch', role: 'responder' } },
  ]);
});

t.test('a wrong identity and a proposal without match have their own reasons', async (t) => {
  const pair = await bench(t);
  const identity = { type: 'fqdn', value: 'x.example' };
  const policy = (dh_group: number) => ({
    ike_policies: [
      {
        name: 'p',
        ike_version: 2,
        encryption_algorithm: 'aes256',
        authentication_algorithm: 'sha256',
        dh_group,
      },
    ],
  });
  const b = await pair.start('b', {
    policies: policy(19),
    connection: { establish_mode: 'peer_only', ike_policy: 'p' },
  });
  const a = await pair.start('a', { policies: policy(14), connection: { ike_policy: 'p' } });
  const seen = (
    await b.until((one) => one.status_reasons.some((reason) => reason.code === 'ike_policy_mismatch'))
  ).status_reasons[0];
  t.match(seen?.details, { cause: 'ike_proposal_mismatch', nearest: { differs: Array } });
  t.match(seen?.details, { ours: [/MODP_|ECP_/], theirs: [/MODP_|ECP_/] });
  const refused = await a.until((one) =>
    one.status_reasons.some((reason) => reason.code === 'ike_policy_mismatch'),
  );
  t.match(refused.status_reasons, [{ details: { role: 'initiator', ours: Array } }]);
  await a.gateway.stop();
  const again = await pair.start('a', {
    policies: policy(19),
    connection: {
      ike_policy: 'p',
      local: { cidrs: ['10.1.0.0/24'], ike_identities: [identity] },
    },
  });
  const wrong = await b.until((one) =>
    one.status_reasons.some((reason) => reason.details?.cause === 'identity_mismatch'),
  );
  const reason = wrong.status_reasons.find((one) => one.details?.cause === 'identity_mismatch');
  t.match(reason, { code: 'cannot_authenticate_connection', details: { received_identity: /x\.example/ } });
  await again.gateway.stop();
});

t.test(
  'a peer that does not answer: the reason, the tries, and it comes up when the peer appears',
  async (t) => {
    const pair = await bench(t);
    const retransmit = { initial: 20, factor: 1.5, ceiling: 100, tries: 3 };
    const { DEFAULT_LIMITS } = await import('../../src/ike/limits.js');
    const a = await pair.start('a', {}, { limits: { ...DEFAULT_LIMITS, retransmit } });
    const silent = await a.until((one) =>
      one.status_reasons.some((reason) => Number(reason.details?.count) >= 2),
    );
    t.match(silent.status_reasons, [
      {
        code: 'peer_not_responding',
        details: { cause: 'port_500_blocked', confidence: 'possible', sent: Number },
      },
    ]);
    const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
    t.same((await a.until(isUp)).status_reasons, []);
    await b.until(isUp);
  },
);

t.test('peers by host name are resolved at each attempt', async (t) => {
  const pair = await bench(t);
  const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
  const asked: string[] = [];
  const resolve = async (name: string): Promise<ResolvedName> => {
    asked.push(name);
    if (asked.length < 4) throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
    return { addresses: [ADDRESS.b] };
  };
  const peer = {
    fqdn: 'b.example',
    cidrs: ['10.2.0.0/24'],
    ike_identity: { type: 'ipv4_address', value: ADDRESS.b },
  };
  const a = await pair.start('a', { connection: { peer } }, { resolve });
  const failed = await a.until((one) => one.status_reasons.length > 0);
  t.match(failed, {
    peer: 'b.example',
    status_reasons: [
      { code: 'peer_not_responding', details: { cause: 'dns_failed' }, message: /b\.example.*ENOTFOUND/ },
    ],
  });
  await a.until(isUp);
  await b.until(isUp);
  t.ok(asked.length >= 4);
});

t.test(
  'a name that comes to stand for another address is followed, though the peer forces UDP encapsulation',
  async (t) => {
    const pair = await bench(t);
    // With `encapsulation: always`, the default, either end takes the other one for behind a NAT.
    const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
    const moved = ADDRESS.b.replace(/\d+$/, (last) => String((Number(last) + 1) % 250));
    let address: string = ADDRESS.b;
    const resolve = async (): Promise<ResolvedName> => ({ addresses: [address], ttl: 1 });
    const peer = {
      fqdn: 'b.example',
      cidrs: ['10.2.0.0/24'],
      ike_identity: { type: 'ipv4_address', value: ADDRESS.b },
    };
    const a = await pair.start('a', { connection: { peer } }, { resolve });
    await a.until(isUp);
    await b.until(isUp);
    t.match(a.connection().ike?.nat, { peer: true, peer_may_force: true });
    address = moved;
    await a.until(() => a.lines.some((line) => line.includes(`initiating IKEv2 to ${moved}:`)));
    t.equal(a.connection().status, 'up', 'the old SAs stay until the new ones stand');
  },
);

t.test('what anybody sends to the ports changes nothing', async (t) => {
  const pair = await bench(t);
  const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
  const a = await pair.start('a');
  await a.until(isUp);
  await b.until(isUp);
  const stranger = createSocket('udp4');
  t.teardown(() => stranger.close());
  await new Promise<void>((resolve) => stranger.bind(0, '127.0.0.3', resolve));
  for (let i = 0; i < 400; i++) {
    const octets = Buffer.from(Uint8Array.from({ length: i % 97 }, (_, n) => (n * 31 + i * 7) & 0xff));
    const marked = i % 3 === 0 ? Buffer.concat([Buffer.alloc(4), octets]) : octets;
    await new Promise((resolve) =>
      stranger.send(marked, i % 2 === 0 ? pair.ports.ike : pair.ports.natt, ADDRESS.a, resolve),
    );
  }
  await sleep(50);
  t.ok(await passes(a.device, b.device, TO_B));
  t.ok(await passes(b.device, a.device, TO_A));
  const bugs = a.lines.filter((line) => JSON.parse(line).level >= 50);
  t.same(bugs, []);
  const folded = a.lines.filter((line) => JSON.parse(line).event === 'datagram-dropped');
  t.ok(folded.length < 20, `${folded.length} lines for 400 datagrams`);
});

t.test('watch sees the tunnel come up', async (t) => {
  const pair = await bench(t);
  const a: TestGateway = await pair.start('a');
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  const states: string[] = [];
  await client.watch({}, (status) => states.push(status.connections[0]!.status));
  await pair.start('b', { connection: { establish_mode: 'peer_only' } });
  await a.until(isUp);
  for (let i = 0; i < 200 && states.at(-1) !== 'up'; i++) await sleep(5);
  t.equal(states.at(-1), 'up');
});

t.test('administratively down: refused on the control socket, and no peer gets in', async (t) => {
  const pair = await bench(t);
  const a = await pair.start('a', { connection: { admin_state_up: false } });
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  await t.rejects(client.up({ name: 'c' }), { code: 'refused', message: /admin_state_up/ });
  await t.rejects(client.up({ name: 'x' }), { code: 'not_found', message: /configured are c/ });
  const b = await pair.start('b');
  await b.until((one) => one.status_reasons.length > 0);
  t.equal(a.connection().status, 'down');
});
