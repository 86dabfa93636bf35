import t from 'tap';
import { MAX_ANSWERS } from '../../src/ike/sa/branches.js';
import { Dh, NotifyType } from '../../src/wire/ike/registry.js';
import { decodeV1Message, encodeV1Message } from '../../src/wire/ike/v1/message.js';
import { EAST, faults, type Pair, pair, WEST } from '../helpers/engine-pair.js';
import { addStranger, keysLeft } from '../helpers/stranger.js';
import { createToyBackend } from '../helpers/toy-crypto.js';
import { v1, v1Faults, v1Pair } from '../helpers/v1-pair.js';
import { countingBackend } from '../helpers/work-counter.js';

/** When each stranger's answers arrive; the peer's take 10 ms. */
const TIMES = {
  before: [6],
  after: [13],
  'before, between and after': [5, 8, 13],
  'long after': [400],
} as const;

const VERSIONS = [
  { version: 1, make: v1Pair, patch: v1(), wrong: (made: Pair) => v1Faults(made) },
  { version: 2, make: pair, patch: {}, wrong: (made: Pair) => faults(made) },
] as const;

for (const { version, make, patch, wrong } of VERSIONS) {
  for (const [when, delays] of Object.entries(TIMES)) {
    t.test(`IKEv${version}: whole answers of a stranger ${when} the peer's cost nothing`, async (t) => {
      for (const encapsulation of ['auto', 'always'] as const) {
        const made = make({ east: { encapsulation }, west: { encapsulation } });
        for (const [i, delay] of delays.entries())
          addStranger(made, delay, { ...patch, encapsulation }, 90 + i);
        made.sim.initiate(made.east);
        made.sim.run(made.sim.now + 5000);
        t.equal(wrong(made), undefined, encapsulation);
        t.strictSame(made.east.eventsOf('ike-failed'), [], encapsulation);
        t.equal(made.east.eventsOf('ike-established').length, 1, encapsulation);
      }
    });
  }

  t.test(`IKEv${version}: the peer's answer is lost, and only the stranger's arrives`, async (t) => {
    const made = make();
    addStranger(made, 6, patch, 90, (n) => n < 1);
    made.sim.net.impair((packet) => packet.from.address === WEST, { kind: 'drop' });
    made.sim.initiate(made.east);
    made.sim.run(made.sim.now + 10_000);
    t.equal(wrong(made), undefined);
    t.strictSame(made.east.eventsOf('ike-failed'), []);
  });

  t.test(`IKEv${version}: a flood of whole answers costs a bounded number of agreements`, async (t) => {
    const costOf = (strangers: number): number => {
      const crypto = countingBackend(createToyBackend());
      const made = make({ crypto });
      for (let i = 0; i < strangers; i++) addStranger(made, 20 + i / 100, patch, 100 + i);
      made.sim.net.impair((packet) => packet.from.address === WEST, { kind: 'delay', by: 40 }, 99);
      made.sim.initiate(made.east);
      made.sim.run(made.sim.now + 30);
      return crypto.work.dhAgree + crypto.work.dhGenerate;
    };
    const some = costOf(2 * MAX_ANSWERS);
    t.equal(costOf(20 * MAX_ANSWERS), some);
    t.ok(some <= 3 * MAX_ANSWERS + 4, `${some} Diffie-Hellman operations`);
  });

  t.test(`IKEv${version}: the keys made with strangers are wiped`, async (t) => {
    const run = (strangers: readonly number[]) => (): void => {
      const made = make();
      for (const [i, delay] of strangers.entries()) addStranger(made, delay, patch, 90 + i);
      made.sim.initiate(made.east);
      made.sim.run(made.sim.now + 2000);
      t.equal(wrong(made), undefined);
    };
    const undisturbed = keysLeft(run([]));
    t.ok(undisturbed > 0);
    t.equal(keysLeft(run([6, 8, 13])), undisturbed);
  });

  t.test(
    `IKEv${version}: nobody but a stranger answers: the attempt ends, and nothing is left of it`,
    async (t) => {
      const made = make();
      made.sim.nodes.pop();
      addStranger(made, 6, patch);
      const left = keysLeft(() => {
        made.sim.initiate(made.east);
        made.sim.run(made.sim.now + 300_000);
      });
      t.equal(made.east.eventsOf('ike-failed').length, 1);
      t.equal(made.east.engine.sizes.ikeSas, 0);
      t.equal(made.east.expected.size, 0);
      t.ok(left <= 1, 'the pre-shared key');
    },
  );
}

t.test("IKEv1: messages 4 with values of a stranger, beside the peer's", async (t) => {
  for (const when of ['before', 'after'] as const) {
    const made = v1Pair();
    const { sim, east } = made;
    sim.initiate(east);
    const answers = () => sim.net.sent.filter(({ from }) => from.address === WEST);
    sim.run(sim.now + 1000, () => answers().length === 2);
    const [packet] = answers().slice(1);
    if (when === 'after') sim.run(sim.now + 6);
    for (let i = 1; i < 4; i++) {
      const bytes = withOtherValues(packet!.bytes, i);
      sim.input(east, {
        kind: 'datagram',
        local: packet!.to,
        remote: packet!.from,
        natTraversalPort: packet!.natTraversalPort,
        bytes,
      });
    }
    sim.run(sim.now + 5000);
    t.equal(v1Faults(made), undefined, when);
    t.strictSame(east.eventsOf('ike-failed'), [], when);
  }
});

/** A message 4 with another nonce: what follows is encrypted with other keys. */
function withOtherValues(bytes: Uint8Array, seed: number): Uint8Array {
  const decoded = decodeV1Message(bytes);
  if (!decoded.ok) throw new Error(decoded.error.message);
  const payloads = decoded.value.payloads.map((one) =>
    one.kind === 'nonce' ? { ...one, data: one.data.map((octet) => octet ^ seed) } : one,
  );
  return encodeV1Message(decoded.value.header, payloads);
}

/** An unprotected answer to an IKE_SA_INIT request, as anyone could send it, on its way for 1 ms. */
function forgeNotify({ sim }: Pair, type: number, data: readonly number[]): void {
  const request = sim.net.sent[0]!.bytes;
  const length = 36 + data.length;
  const bytes = new Uint8Array(length);
  bytes.set(request.subarray(0, 8));
  bytes.set([41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, length], 16);
  bytes.set([0, 0, 0, 8 + data.length, 0, 0, type >>> 8, type & 0xff, ...data], 28);
  const at = (address: string) => ({ address, port: 500 });
  sim.net.inject({ from: at(WEST), to: at(EAST), natTraversalPort: false, bytes }, sim.now - 4);
}

const HINTS: readonly (readonly [name: string, type: number, data: readonly number[]])[] = [
  ['a cookie', NotifyType.COOKIE, [1, 2, 3, 4]],
  ['another group', NotifyType.INVALID_KE_PAYLOAD, [0, Dh.MODP_1024]],
  ['a refusal', NotifyType.NO_PROPOSAL_CHOSEN, []],
];

for (const [name, type, data] of HINTS) {
  t.test(`IKEv2: ${name} that a stranger asks for does not spoil the answer on its way`, async (t) => {
    const made = pair();
    made.sim.initiate(made.east);
    forgeNotify(made, type, data);
    made.sim.run(made.sim.now + 5000);
    t.equal(faults(made), undefined);
    t.strictSame(made.east.eventsOf('ike-failed'), []);
  });

  t.test(`IKEv2: and the peer may ask for ${name} although a stranger has answered`, async (t) => {
    const patch = type === NotifyType.NO_PROPOSAL_CHOSEN ? { psk: 'another-key' } : {};
    const made = pair({
      limits: { cookieThreshold: type === NotifyType.COOKIE ? 0 : 30 },
      ...(type === NotifyType.INVALID_KE_PAYLOAD ? { west: { ikeProposals: onlyGroup(Dh.MODP_1536) } } : {}),
      east: patch,
    });
    addStranger(made, 6);
    made.sim.initiate(made.east);
    made.sim.run(made.sim.now + 20_000);
    if (type === NotifyType.NO_PROPOSAL_CHOSEN) {
      t.match(made.east.eventsOf('ike-failed'), [
        { failure: { cause: /authentication_refused|psk_mismatch/ } },
      ]);
      return;
    }
    t.equal(faults(made), undefined);
    t.strictSame(made.east.eventsOf('ike-failed'), []);
  });
}

function onlyGroup(group: number) {
  return pair().west.config.connections[0]!.ikeProposals.map((one) => ({ ...one, dh: [group] }));
}

t.test('IKEv2: a peer with another key is refused once nobody else has answered for a while', async (t) => {
  const made = pair({ west: { psk: 'another-key' } });
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 1000);
  t.match(made.east.eventsOf('ike-failed'), [{ failure: { cause: 'authentication_refused' } }]);
  t.equal(made.east.engine.sizes.ikeSas, 0);
});
