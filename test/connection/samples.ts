import type { ConnectionConfig } from '../../src/ike/config.js';
import type { ChildSaInfo, IkeEvent, IkeSaInfo } from '../../src/ike/events.js';
import { utf8 } from '../../src/util/bytes.js';
import { cidrOf, cidrRange } from '../../src/util/ip.js';
import type { Random } from '../../src/util/random.js';
import { SecretKey } from '../../src/util/secret.js';
import type { TrafficSelector } from '../../src/wire/ike/payloads.js';
import { Dh, Encr, IdType, Integ, Prf, TsType } from '../../src/wire/ike/registry.js';

/** The selector of a whole network, any protocol and port. */
export function network(text: string): TrafficSelector {
  const { start, end } = cidrRange(cidrOf(text));
  const tsType = start.length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE;
  return { tsType, protocol: 0, startPort: 0, endPort: 0xffff, startAddress: start, endAddress: end };
}

export function connection(name: string, over: Partial<ConnectionConfig> = {}): ConnectionConfig {
  return {
    id: name,
    psk: new SecretKey(utf8('correct-horse-k7Qv2X-mJ9wRt4zHc8b')),
    initiateVersion: 2,
    acceptVersions: [1, 2],
    establishMode: 'bidirectional',
    adminUp: true,
    local: {
      address: '192.0.2.1',
      identity: { idType: IdType.FQDN, data: utf8('a.example') },
      selectors: [network('10.1.0.0/24')],
    },
    peer: {
      addresses: ['192.0.2.2'],
      port: 500,
      identity: { idType: IdType.FQDN, data: utf8('b.example') },
      selectors: [network('10.2.0.0/24')],
    },
    ikeProposals: [],
    espProposals: [],
    ikeLifetime: 28800,
    childLifetime: 3600,
    dpd: { action: 'restart', interval: 2, timeout: 10 },
    encapsulation: 'always',
    ...over,
  };
}

export function ikeInfo(ikeId: number, over: Partial<IkeSaInfo> = {}): IkeSaInfo {
  return {
    ikeId,
    version: 2,
    role: 'initiator',
    initiatorSpi: '0102030405060708',
    responderSpi: '1112131415161718',
    suite: {
      encryption: { id: Encr.AES_CBC, keyBits: 256 },
      integrity: Integ.HMAC_SHA2_256_128,
      prf: Prf.HMAC_SHA2_256,
      dh: Dh.MODP_2048,
    },
    nat: { local: false, peer: false, peerMayForce: false },
    local: { address: '192.0.2.1', port: 4500 },
    peer: { address: '192.0.2.2', port: 4500 },
    peerIdentity: 'fqdn:b.example',
    establishedAt: 1000,
    rekeyAt: 2000,
    peerVendors: [],
    ...over,
  };
}

export function childInfo(childId: number, ikeId: number, over: Partial<ChildSaInfo> = {}): ChildSaInfo {
  return {
    childId,
    ikeId,
    spiIn: 0xc0000000 + childId,
    spiOut: 0x0a,
    suite: { encryption: { id: Encr.AES_GCM_16, keyBits: 128 }, integrity: 0, dh: 0, esn: false },
    localTs: [network('10.1.0.0/24')],
    peerTs: [network('10.2.0.0/24')],
    encapsulation: 'udp',
    establishedAt: 1000,
    rekeyAt: 2000,
    narrowed: false,
    ...over,
  };
}

/** The events of a connection that comes up. */
export function comesUp(name: string, id = 1): IkeEvent[] {
  return [
    { kind: 'ike-established', connection: name, ike: ikeInfo(id) },
    { kind: 'child-established', connection: name, child: childInfo(id, id) },
  ];
}

/** Always the same octet: 0xff gives the longest wait, 0 the shortest. */
export function constantRandom(octet: number): Random {
  return { bytes: (length) => new Uint8Array(length).fill(octet) };
}
