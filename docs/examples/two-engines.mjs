// @ts-check
// Two IKE engines in one process, an array between them, and an ESP packet through the SAs that they agree on.
// Run it with: node docs/examples/two-engines.mjs
import { randomBytes } from 'node:crypto';
import { createBackend } from 'culvert/crypto';
import { DEFAULT_REPLAY_WINDOW, InboundSa, OutboundSa, SelectorSet } from 'culvert/esp';
import { DEFAULT_LIMITS, Engine } from 'culvert/ike';
import { connectionOf } from './connection.mjs';

const crypto = createBackend('openssl');
const random = { bytes: (/** @type {number} */ length) => Uint8Array.from(randomBytes(length)) };
const psk = 'UjWiN9f-gH25v33B_Y_fkJjL';
const [east, west] = [
  { address: '192.0.2.1', cidr: '10.1.0.0/24' },
  { address: '192.0.2.2', cidr: '10.2.0.0/24' },
];

/** What is on its way: datagrams with where they come from and go to. */
const network = /** @type {import('culvert/ike').SendOutput[]} */ ([]);
const installed = /** @type {Map<string, import('culvert/ike').ChildSa>} */ (new Map());

const engines = new Map(
  [
    { local: east, peer: west },
    { local: west, peer: east },
  ].map(({ local, peer }) => {
    const config = { connections: [connectionOf({ psk, local, peer })] };
    return [local.address, new Engine({ crypto, random, limits: DEFAULT_LIMITS, config })];
  }),
);

/** @param {string} address @param {import('culvert/ike').Input} input */
function handle(address, input) {
  const outputs = /** @type {Engine} */ (engines.get(address)).handle(input, performance.now());
  for (const output of outputs) {
    if (output.kind === 'send') network.push(output);
    else if (output.kind === 'install-child') installed.set(address, output.child);
    else if (output.kind === 'event' && output.event.kind === 'ike-established')
      console.log(`${address}: IKE SA established`);
  }
}

handle(east.address, { kind: 'initiate', connection: 'site' });
for (let sent = network.shift(); sent !== undefined; sent = network.shift()) {
  const { local, remote, natTraversalPort, bytes } = sent;
  handle(remote.address, { kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes });
}

const [atEast, atWest] = [installed.get(east.address), installed.get(west.address)];
if (atEast === undefined || atWest === undefined) throw new Error('no ESP SAs were agreed on');
const out = new OutboundSa({ spi: atEast.spiOut, suite: atEast.suite, keys: atEast.keysOut, crypto, random });
const into = new InboundSa({
  spi: atWest.spiIn,
  suite: atWest.suite,
  keys: atWest.keysIn,
  crypto,
  selectors: new SelectorSet(atWest.localTs, atWest.peerTs),
  replayWindow: DEFAULT_REPLAY_WINDOW,
});

/** An IPv4 packet from 10.1.0.1 to 10.2.0.1 without a payload. */
const packet = Uint8Array.of(0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1);
const sealed = out.seal(packet);
if (!sealed.ok) throw new Error(sealed.error);
const opened = into.open(sealed.value);
if (!opened.ok) throw new Error(opened.error);
console.log(
  `${packet.length} octets became ${sealed.value.length} octets of ESP and ${opened.value.length} again`,
);
