// @ts-check
import {
  autoEspProposals,
  autoIkeProposals,
  cidrSelector,
  makeIdentity,
  parseCidr,
  SecretKey,
} from 'culvert/ike';

/**
 * A connection as the engine takes it. Everything that an operator could choose has the value that suits most.
 *
 * @param {{ psk: string, local: { address: string, cidr: string }, peer: { address: string, cidr: string } }} wanted
 * @returns {import('culvert/ike').ConnectionConfig}
 */
export function connectionOf({ psk, local, peer }) {
  return {
    id: 'site',
    psk: new SecretKey(new TextEncoder().encode(psk)),
    initiateVersion: 2,
    acceptVersions: [1, 2],
    establishMode: 'bidirectional',
    adminUp: true,
    local: {
      address: local.address,
      identity: identityOf(local.address),
      selectors: [selectorOf(local.cidr)],
    },
    peer: {
      addresses: [peer.address],
      port: 500,
      identity: identityOf(peer.address),
      selectors: [selectorOf(peer.cidr)],
    },
    ikeProposals: autoIkeProposals('modern'),
    espProposals: autoEspProposals('modern'),
    ikeLifetime: 28_800,
    childLifetime: 3_600,
    dpd: { action: 'restart', interval: 10, timeout: 40 },
    encapsulation: 'always',
  };
}

/** @param {string} address */
function identityOf(address) {
  const made = makeIdentity('ipv4_address', address);
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

/** @param {string} text */
function selectorOf(text) {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(`${text} ${cidr.error}`);
  return cidrSelector(cidr.value);
}
