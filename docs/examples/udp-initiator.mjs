// @ts-check
// Negotiates IKE and ESP SAs with a real gateway over UDP, prints what was agreed on, and deletes them again.
// Run it with: CULVERT_PSK=… node docs/examples/udp-initiator.mjs OUR-ADDRESS OUR-NETWORK PEER-ADDRESS PEER-NETWORK
// It binds UDP 500 and 4500, which takes root or CAP_NET_BIND_SERVICE.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createBackend } from 'culvert/crypto';
import { DEFAULT_LIMITS, Engine } from 'culvert/ike';
import { classifyPort4500, dissect, withNonEspMarker } from 'culvert/wire';
import { connectionOf } from './connection.mjs';

const [address = '', cidr = '', peerAddress = '', peerCidr = ''] = process.argv.slice(2);
const psk = process.env.CULVERT_PSK ?? '';
const local = { address, cidr };
const peer = { address: peerAddress, cidr: peerCidr };

const engine = new Engine({
  crypto: createBackend('openssl'),
  random: { bytes: (length) => Uint8Array.from(randomBytes(length)) },
  limits: DEFAULT_LIMITS,
  config: { connections: [connectionOf({ psk, local, peer })] },
});

const sockets = { 500: createSocket('udp4'), 4500: createSocket('udp4') };
for (const port of /** @type {const} */ ([500, 4500])) {
  sockets[port].on('message', (bytes, remote) => {
    const natTraversalPort = port === 4500;
    // ESP comes to port 4500, too; this example has no packets to decrypt.
    if (natTraversalPort && classifyPort4500(bytes, 0, bytes.length) !== 'ike') return;
    const message = natTraversalPort ? bytes.subarray(4) : bytes;
    handle({ kind: 'datagram', local: { address, port }, remote, natTraversalPort, bytes: message });
  });
  sockets[port].bind(port, address);
  await once(sockets[port], 'listening');
}

/** @type {NodeJS.Timeout | undefined} */
let timer;

/** @param {import('culvert/ike').Input} input */
function handle(input) {
  for (const output of engine.handle(input, performance.now())) {
    if (output.kind === 'send') {
      const { bytes, remote, natTraversalPort } = output;
      console.log(dissect(bytes).split('\n', 1)[0]);
      const socket = sockets[natTraversalPort ? 4500 : 500];
      socket.send(natTraversalPort ? withNonEspMarker(bytes) : bytes, remote.port, remote.address);
    } else if (output.kind === 'install-child') {
      const { spiIn, spiOut, encapsulation, keysIn, keysOut } = output.child;
      console.log(`ESP SAs ${spiIn.toString(16)} in, ${spiOut.toString(16)} out, in ${encapsulation}`);
      // Whoever gets the keys wipes them.
      for (const keys of [keysIn, keysOut]) for (const key of Object.values(keys)) key?.wipe();
    } else if (output.kind === 'event') follow(output.event);
  }
  clearTimeout(timer);
  const next = engine.nextDeadline();
  if (next !== undefined) timer = setTimeout(() => handle({ kind: 'timer' }), next - performance.now());
}

/** @param {import('culvert/ike').IkeEvent} event */
function follow(event) {
  switch (event.kind) {
    case 'child-established':
      console.log('established');
      setTimeout(() => handle({ kind: 'terminate', connection: 'site' }), 100);
      return;
    case 'ike-failed':
      console.log(`failed: ${event.failure.message}`);
      process.exitCode = 1;
      close();
      return;
    case 'ike-closed':
      console.log('closed');
      close();
      return;
  }
}

function close() {
  clearTimeout(timer);
  setTimeout(() => {
    for (const socket of Object.values(sockets)) socket.close();
    clearTimeout(timer);
  }, 100);
}

handle({ kind: 'initiate', connection: 'site' });
