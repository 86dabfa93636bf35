import t from 'tap';
import type { Setting } from '../../src/cli/declarative/connection-wish.js';
import { SETTINGS } from '../../src/cli/declarative/connection-wish.js';
import { putAt } from '../../src/store/connection-fields.js';
import { openApplyLab } from '../helpers/apply-lab.js';

/** Another value of every setting than `connection` has. A new field of connections does not compile without. */
const OTHERS: Readonly<Record<Setting, unknown>> = {
  name: 'other',
  psk: 'second-good-key',
  admin_state_up: false,
  establish_mode: 'peer_only',
  dead_peer_detection: { action: 'clear', interval: 5 },
  ike_policy: 'ike',
  ipsec_policy: 'esp',
  profile: 'modern',
  distribute_traffic: true,
  'local.cidrs': ['192.168.9.0/24', '192.168.8.0/24'],
  'local.ike_identities': [{ type: 'fqdn', value: 'a.example' }],
  'peer.address': '198.51.100.2',
  'peer.fqdn': 'b.example',
  'peer.cidrs': ['10.2.0.0/16'],
  'peer.ike_identity': { type: 'key_id', value: 'MTIzNA==' },
};

/** What only a gateway in route mode has. */
const ROUTED: readonly Setting[] = ['distribute_traffic'];

const connection = (mode: string): Record<string, unknown> => ({
  name: 'c',
  psk: 'first-good-key',
  local: mode === 'route' ? {} : { cidrs: ['192.168.8.0/24'] },
  peer: { address: '198.51.100.1', ...(mode === 'route' ? {} : { cidrs: ['10.1.0.0/16'] }) },
});

function file(mode: string, setting?: Setting): string {
  const one = connection(mode);
  if (setting === 'peer.fqdn') putAt(one, 'peer.address', undefined);
  if (setting !== undefined) putAt(one, setting, OTHERS[setting]);
  return JSON.stringify({
    ike_policies: [
      { name: 'ike', encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', dh_group: 14 },
    ],
    ipsec_policies: [{ name: 'esp', encryption_algorithm: 'aes256gcm16' }],
    vpn_gateways: [{ name: `in-${mode}`, subnet: 'subnet-1', mode, connections: [one] }],
  });
}

t.test('every setting of a connection is seen when it differs, changed alone, and put back', async (t) => {
  const { plan } = await openApplyLab(t);
  for (const setting of SETTINGS) {
    const mode = ROUTED.includes(setting) ? 'route' : 'policy';
    const to = (text: string) => plan(text, '--prune', '--force');
    await to(file(mode));
    for (const [way, text] of [
      ['there', file(mode, setting)],
      ['back', file(mode)],
    ] as const) {
      const changes = await to(text);
      t.equal(changes.length, 1, `${setting}, ${way}: ${changes.join('; ')}`);
      t.match(changes[0], /^update \| connection (c|other) of in-(policy|route) \| /);
      t.same(await to(text), [], `${setting}, ${way}: the second time there is nothing to do`);
    }
  }
});

t.test('a field that the API does not have is refused, not left out silently', async (t) => {
  const { apply } = await openApplyLab(t);
  for (const [field, value] of [
    ['peer.port', 4500],
    ['interface', 'culvert7'],
    ['routes', ['10.9.0.0/16']],
    ['psk_encoding', 'hex'],
  ] as const) {
    const one = connection('policy');
    putAt(one, field, value);
    const text = JSON.stringify({ vpn_gateways: [{ name: 'g', subnet: 'subnet-1', connections: [one] }] });
    t.match(await apply(text), { code: 1, err: /is not a known field/ }, field);
  }
});
