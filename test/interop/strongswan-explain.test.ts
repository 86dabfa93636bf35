import t, { type Test } from 'tap';
import { explains, isMended, type Wanted } from '../helpers/explained.js';
import { SITE_A, SITE_B } from '../helpers/site-lab.js';
import { type SwanConnection, skipWithoutStrongswan } from '../helpers/strongswan.js';
import {
  type CulvertOptions,
  culvertConfig,
  ESP,
  IKE,
  swanConnection,
  withPair,
} from '../helpers/strongswan-pair.js';
import { swanUntil } from '../helpers/swan-sites.js';

const skip = skipWithoutStrongswan();

const EXACT = { ike: IKE, esp: ESP };
const b = { type: 'fqdn', value: 'b.example' };

/** What each version calls the exchange and the codes of the status. */
const VERSIONS = [
  { version: 2, first: 'IKE_SA_INIT', auth: 'IKE_AUTH' },
  { version: 1, first: 'MAIN_MODE', auth: 'MAIN_MODE' },
] as const;

interface Faulty extends Wanted {
  readonly title: string;
  readonly culvert?: CulvertOptions;
  readonly swan?: Partial<SwanConnection>;
  /** The peer begins; else Culvert does. */
  readonly peerBegins?: boolean;
  /** strongSwan as it should have been. */
  readonly mended?: Partial<SwanConnection>;
}

async function check(t: Test, version: 1 | 2, one: Faulty): Promise<void> {
  const options: CulvertOptions = {
    ...EXACT,
    ikeVersion: version,
    ...(one.peerBegins === true ? { establishMode: 'peer_only' } : {}),
    ...one.culvert,
  };
  const swan = (over: Partial<SwanConnection> = {}): SwanConnection => swanConnection({ version, ...over });
  await withPair(t, culvertConfig(options), swan(one.swan), async (pair) => {
    if (one.peerBegins === true) t.notOk((await pair.swan.initiate()).ok, 'strongSwan does not get through');
    await explains(t, pair, one);
    if (one.mended === undefined) return;
    await pair.swan.load(swan(one.mended));
    if (one.peerBegins === true) {
      // A new attempt waits behind one that still repeats its messages, and ends with it.
      await swanUntil(pair.swan, (sas) => sas.every(({ state }) => state === 'ESTABLISHED'), 60);
      t.ok((await pair.swan.initiate()).ok);
    }
    await isMended(t, pair);
  });
}

/** Faults of the configuration that both versions have. */
function faults(version: 1 | 2): readonly Faulty[] {
  const { first, auth } = VERSIONS.find((one) => one.version === version)!;
  const asIs = {};
  return [
    {
      title: 'another key, as responder',
      swan: { psk: 'another-secret' },
      peerBegins: true,
      cause: version === 2 ? 'psk_mismatch' : 'psk_mismatch_likely',
      evidence: [/role +responder/, new RegExp(`exchange +${auth}`)],
      remedy: /same pre-shared key at both ends/,
      mended: asIs,
    },
    {
      title: 'another key, as initiator',
      swan: { psk: 'another-secret' },
      cause: version === 2 ? 'authentication_refused' : 'psk_mismatch_likely',
      evidence: [/role +initiator/, new RegExp(`exchange +${auth}`)],
      remedy: /pre-shared key/,
      mended: asIs,
    },
    {
      title: 'another identity of the peer, as responder',
      culvert: { peerIdentity: b },
      swan: { local: { address: SITE_B.address, id: 'stranger.example', ts: SITE_B.cidr } },
      peerBegins: true,
      cause: 'identity_mismatch',
      evidence: [/received identity +fqdn:stranger\.example/, /expected identity +fqdn:b\.example/],
      remedy: /peer\.ike_identity/,
      mended: { local: { address: SITE_B.address, id: 'b.example', ts: SITE_B.cidr } },
    },
    {
      // In version 2 a strongSwan that is asked for by another name refuses without telling its own (RFC 7296 §2.21.2).
      title: 'another identity of the peer, as initiator',
      culvert: { peerIdentity: b },
      swan: { local: { address: SITE_B.address, id: 'stranger.example', ts: SITE_B.cidr } },
      cause: version === 2 ? 'authentication_refused' : 'identity_mismatch',
      evidence:
        version === 2
          ? [/one of the identities differs/, /AUTHENTICATION_FAILED/]
          : [/received identity +fqdn:stranger\.example/, /expected identity +fqdn:b\.example/],
      remedy: version === 2 ? /let the peer initiate once/ : /peer\.ike_identity/,
      mended: { local: { address: SITE_B.address, id: 'b.example', ts: SITE_B.cidr } },
    },
    {
      title: 'our own identity is another than the peer expects',
      swan: { remote: { address: SITE_A.address, id: 'a.example', ts: SITE_A.cidr } },
      cause: 'authentication_refused',
      evidence: [/refused our authentication as ipv4_address:192\.0\.2\.1/],
      remedy: /read its log|let the peer initiate once/,
    },
    {
      title: 'another proposal for IKE, as initiator',
      swan: { proposals: 'aes128-sha1-modp1024' },
      cause: 'ike_proposal_mismatch',
      evidence: [/we accept +peer offers \(not told\)/, /AES_CBC-256.*MODP_2048/, /NO_PROPOSAL_CHOSEN/],
      remedy: /one IKE proposal the same at both ends/,
      mended: asIs,
    },
    {
      title: 'another proposal for IKE, as responder',
      swan: { proposals: 'aes256-sha256-modp1024' },
      peerBegins: true,
      cause: 'ike_proposal_mismatch',
      evidence: [
        /we accept +peer offers/,
        /MODP_2048.*MODP_1024/,
        /nearest miss +proposal 1: differs in dh_group/,
      ],
      remedy: /one IKE proposal the same at both ends/,
      mended: asIs,
    },
    {
      title: 'another proposal for ESP, as initiator',
      swan: { espProposals: 'aes128-sha1' },
      cause: 'child_proposal_mismatch',
      evidence: [/AES_CBC-256/, /NO_PROPOSAL_CHOSEN/],
      remedy: /one IPsec proposal the same at both ends/,
      mended: asIs,
    },
    {
      title: 'another proposal for ESP, as responder',
      swan: { espProposals: 'aes128-sha256' },
      peerBegins: true,
      cause: 'child_proposal_mismatch',
      evidence: [/AES_CBC-256.*AES_CBC-128/, /nearest miss +proposal 1: differs in encryption/],
      remedy: /one IPsec proposal the same at both ends/,
      mended: asIs,
    },
    {
      title: 'other networks, as initiator',
      swan: { local: { address: SITE_B.address, id: SITE_B.address, ts: '10.99.0.0/24' } },
      cause: 'ts_mismatch',
      evidence: [/peer selectors +10\.2\.0\.0\/24/, /TS_UNACCEPTABLE|INVALID_ID_INFORMATION/],
      remedy: /local CIDRs must be the peer's remote ones/,
      mended: asIs,
    },
    {
      title: 'other networks, as responder',
      swan: { local: { address: SITE_B.address, id: SITE_B.address, ts: '10.99.0.0/24' } },
      peerBegins: true,
      cause: 'ts_mismatch',
      evidence: [/received peer selectors +10\.99\.0\.0\/24/, /peer selectors +10\.2\.0\.0\/24/],
      remedy: /local CIDRs must be the peer's remote ones/,
      mended: asIs,
    },
    {
      title: 'the other version of IKE, as responder',
      swan: { version: version === 2 ? 1 : 2 },
      peerBegins: true,
      cause: 'ike_version_mismatch',
      evidence: [new RegExp(`IKEv${version}`), new RegExp(`IKEv${version === 2 ? 1 : 2}`)],
      remedy: /same IKE version at both ends/,
      mended: asIs,
    },
    {
      title: 'the other version of IKE, as initiator: the peer says no more than NO_PROPOSAL_CHOSEN',
      swan: { version: version === 2 ? 1 : 2 },
      cause: 'ike_proposal_mismatch',
      evidence: [
        /NO_PROPOSAL_CHOSEN/,
        new RegExp(`exchange +${first}`),
        new RegExp(`does not take IKEv${version}`),
      ],
      remedy: /one IKE proposal the same at both ends/,
    },
    {
      title: 'nobody begins',
      peerBegins: true,
      swan: { remote: { address: '192.0.2.77', id: SITE_A.address, ts: SITE_A.cidr } },
      cause: 'waiting_for_peer',
      evidence: [/establish_mode is peer_only/],
      remedy: /establish_mode to bidirectional/,
      mended: asIs,
    },
  ];
}

for (const { version } of VERSIONS) {
  t.test(`faults of the configuration, IKEv${version}`, { skip }, async (t) => {
    for (const one of faults(version)) await t.test(one.title, async (t) => check(t, version, one));
  });
}
