import { readGatewayFile } from '../../src/store/gateway-file.js';
import type { GatewayFile } from '../../src/store/model.js';

export const EXAMPLE_KEY = 'correct-horse-battery';

/** A gateway with every kind of thing in it: policies, networks of both families, a host name. */
const TEXT = `gateway: { name: g, address: 192.0.2.1, offload: { tso: true }, mss: 1300, workers: 2 }
ike_policies:
  - { name: used, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }
ipsec_policies:
  - { name: used, encryption_algorithm: aes128gcm16, authentication_algorithm: disabled, pfs: group_19 }
connections:
  - name: c
    psk: ${EXAMPLE_KEY}
    ike_policy: used
    ipsec_policy: used
    local: { cidrs: [10.1.0.0/24, 2001:db8:1::/48], ike_identities: [ { type: fqdn, value: a.example } ] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24, 2001:db8:2::/48], ike_identity: { type: key_id, value: MTIz } }
  - name: d
    psk: ${EXAMPLE_KEY}
    establish_mode: peer_only
    local: { cidrs: [10.1.0.0/24] }
    peer: { fqdn: d.example, cidrs: [10.3.0.0/24] }
`;

/** @param name of its first connection, whose id stays the same */
export function exampleGateway(name = 'c'): GatewayFile {
  const file = readGatewayFile(TEXT, 'example');
  if (!file.ok) throw new Error(JSON.stringify(file.error));
  const connections = file.value.connections.map((one, i) => (i === 0 ? { ...one, name } : one));
  return { ...file.value, connections };
}
