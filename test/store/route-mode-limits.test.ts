import t from 'tap';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';

const policy = `
gateway: { name: a, address: 192.0.2.1 }
connections:
  - { name: c, psk: correct-horse-battery, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] } }
`;
const route = (first: string, second = '') => `
gateway: { name: a, address: 192.0.2.1, mode: route }
connections:
  - { name: c, psk: correct-horse-battery, peer: { address: 192.0.2.2 }, ${first} }
  - { name: d, psk: correct-horse-battery, peer: { address: 192.0.2.3 }, ${second} }
`;

function read(text: string) {
  const file = readGatewayFile(text, 'gateway.yaml');
  if (!file.ok) throw new Error(JSON.stringify(file.error));
  return file.value;
}

function errors(text: string): string[] {
  const file = readGatewayFile(text, 'gateway.yaml');
  return file.ok ? [] : file.error.map(({ path, message }) => `${path}: ${message}`);
}

t.test('limits: defaults, values, bounds', async (t) => {
  const limits = read(policy).limits;
  t.equal(Object.keys(limits).length, 13);
  t.match(DEFAULT_LIMITS, limits, 'what is left out is as the engine has it');
  const some = read(
    `${policy}limits: { half_open: 9, half_open_per_source: 8, half_open_bytes: 20000, cookie_threshold: 7, ike_sas: 6, ike_sas_per_peer: 5, message_bytes: 2000, first_message_bytes: 1500, fragment_packet: 576, requests_per_second: 3, requests_per_second_per_source: 4, child_sas: 2, requests_per_second_per_connection: 12 }`,
  );
  t.same(some.limits, {
    halfOpenTotal: 9,
    halfOpenPerSource: 8,
    halfOpenBytes: 20_000,
    cookieThreshold: 7,
    ikeSas: 6,
    ikeSasPerPeer: 5,
    messageBytes: 2000,
    firstMessageBytes: 1500,
    fragmentPacket: 576,
    requestsPerSecondInAll: 3,
    requestsPerSecond: 4,
    childSas: 2,
    requestsPerConnection: 12,
  });
  t.match(errors(`${policy}limits: { half_open: 0 }`), [
    /^limits\.half_open: 0 is too small: .*from 1 to 100000/,
  ]);
  t.match(errors(`${policy}limits: { message_bytes: 70000 }`), [/too large/]);
  t.match(errors(`${policy}limits: { fragment_packet: 500 }`), [/too small/]);
  t.match(errors(`${policy}limits: { half_open: 10 }`), [
    /^limits: a cookie_threshold of 30 lies above half_open 10/,
  ]);
  t.match(errors(`${policy}limits: { half_opn: 10 }`), [/did you mean "half_open"/]);
  t.match(errors(`${policy}limits: 5`), [/^limits: needs a map/]);
});

t.test('route mode: a device and routes for each connection', async (t) => {
  const { connections } = read(route('interface: vpn7, routes: [10.8.0.0/16, "2001:db8::/32"]'));
  t.equal(connections[0]!.interface, 'vpn7');
  t.same(connections[0]!.routes, ['10.8.0.0/16', '2001:db8::/32']);
  t.equal(connections[1]!.interface, undefined);
  t.same(connections[1]!.routes, []);
  t.match(errors(route('interface: vpn7', 'interface: vpn7')), [
    /^connections\[1\]\.interface: "vpn7" is the device of connections\[0\] already/,
  ]);
  t.match(errors(route('routes: [10.8.0.1/16]')), [/^connections\[0\]\.routes\[0\]/]);
  t.match(errors(route('routes: [10.8.0.0/16, 10.8.0.0/16]')), [/is in the list twice/]);
  t.match(errors(route('interface: "a b"')), [/name of a TUN device/]);
});

t.test('two connections that nothing tells apart are refused', async (t) => {
  const text = route('').replace('192.0.2.3', '192.0.2.2');
  t.match(errors(text), [
    /^connections\[1\]: has the peer and the IKE identities of connection c: in route mode/,
  ]);
});

t.test('in policy mode they have no place', async (t) => {
  const text = policy.replace('name: c,', 'name: c, interface: vpn7, routes: [10.8.0.0/16],');
  t.match(errors(text), [/interface: is for route mode only/, /routes: is for route mode only/]);
});
