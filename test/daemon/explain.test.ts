import t from 'tap';
import { ControlClient } from '../../src/daemon/control/client.js';
import { type FileChange, GatewayBench, isUp, type TestGateway } from '../helpers/gateway-pair.js';

const WEAK = {
  ike_policies: [
    {
      name: 'old',
      encryption_algorithm: 'aes128',
      authentication_algorithm: 'sha1',
      dh_group: 2,
      ike_version: 2,
    },
    {
      name: 'new',
      encryption_algorithm: 'aes256',
      authentication_algorithm: 'sha256',
      dh_group: 14,
      ike_version: 2,
    },
  ],
  ipsec_policies: [
    { name: 'old', encryption_algorithm: '3des', authentication_algorithm: 'md5' },
    { name: 'new', encryption_algorithm: 'aes256', authentication_algorithm: 'sha256' },
  ],
};
const id = (value: string) => ({ type: 'fqdn', value });

interface Case {
  readonly name: string;
  readonly a: FileChange;
  readonly b: FileChange | undefined;
  /** What the initiator is told, and what the responder sees. */
  readonly initiator: string;
  readonly responder?: string;
}

const CASES: readonly Case[] = [
  {
    name: 'another key',
    a: {},
    b: { connection: { psk: 'not-the-same-key-at-all' } },
    initiator: 'authentication_refused',
    responder: 'psk_mismatch',
  },
  {
    name: 'another identity',
    a: { connection: { local: { cidrs: ['10.1.0.0/24'], ike_identities: [id('someone.example')] } } },
    b: {},
    initiator: 'authentication_refused',
    responder: 'identity_mismatch',
  },
  {
    name: 'no IKE proposal in common',
    a: { policies: WEAK, connection: { ike_policy: 'new' } },
    b: { policies: WEAK, connection: { ike_policy: 'old' } },
    initiator: 'ike_proposal_mismatch',
    responder: 'ike_proposal_mismatch',
  },
  {
    name: 'no ESP proposal in common',
    a: { policies: WEAK, connection: { ipsec_policy: 'new' } },
    b: { policies: WEAK, connection: { ipsec_policy: 'old' } },
    initiator: 'child_proposal_mismatch',
    responder: 'child_proposal_mismatch',
  },
  {
    name: 'no networks in common',
    a: { connection: { local: { cidrs: ['10.77.0.0/24'] } } },
    b: {},
    initiator: 'ts_mismatch',
    responder: 'ts_mismatch',
  },
  {
    name: 'a host name that nobody knows',
    a: { connection: { peer: { fqdn: 'nowhere.invalid', cidrs: ['10.2.0.0/24'] } } },
    b: undefined,
    initiator: 'dns_failed',
  },
];

async function explained(t: Tap, gateway: TestGateway, cause: string) {
  await gateway.until((one) => one.status_reasons.some((reason) => reason.details?.cause === cause));
  const client = await ControlClient.connect(gateway.control);
  t.teardown(() => client.close());
  return await client.explain({ name: 'c' });
}

interface Tap {
  teardown(fn: () => unknown): unknown;
}

t.test('each cause that a peer can provoke is named at both ends, with evidence', async (t) => {
  for (const { name, a, b, initiator, responder } of CASES) {
    await t.test(name, async (t) => {
      const pair = new GatewayBench();
      t.teardown(() => pair.dispose());
      const passive = b && { ...b, connection: { establish_mode: 'peer_only', ...b.connection } };
      const other = passive && (await pair.start('b', passive));
      const resolve = async (): Promise<never> => {
        throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
      };
      const own = await pair.start('a', a, { resolve });
      const ours = await explained(t, own, initiator);
      t.equal(ours.cause, initiator);
      t.match(ours.verdict, /^The connection is down\. /);
      t.ok(ours.advice.length > 0);
      t.ok(ours.next.length > 0, 'and what happens next');
      const kinds = new Set(ours.timeline.map(({ what }) => what));
      t.ok(kinds.has('failed'));
      if (other === undefined) return;
      t.ok(kinds.has('sent') && kinds.has('received'), 'what was sent and what came back');
      const theirs = await explained(t, other, responder!);
      t.equal(theirs.cause, responder);
      const heard = theirs.timeline.filter(({ what }) => what === 'received').map(({ text }) => text);
      t.ok(
        heard.some((text) => text.includes('IKE_SA_INIT')),
        'the responder has what the peer sent before it was known who it is',
      );
      const [reason] = theirs.connection.status_reasons;
      if (responder!.endsWith('proposal_mismatch')) {
        t.match(reason?.details, { ours: [/./], theirs: [/./], nearest: { differs: [/./] } });
      }
      t.notMatch(JSON.stringify([ours, theirs]), /correct-horse|not-the-same/, 'no key is told');
    });
  }
});

t.test('a healthy connection is explained, too', async (t) => {
  const pair = new GatewayBench();
  t.teardown(() => pair.dispose());
  const a = await pair.start('a');
  await pair.start('b');
  await a.until(isUp);
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  t.match(await client.explain({ name: 'c' }), {
    cause: null,
    status: 'up',
    verdict: /is up for 1 pair of networks/,
    next: [/IKE SA is rekeyed in \d+ (s|min|h)/, /child SA is rekeyed in \d+ (s|min|h)/],
    connection: { coverage: { pairs: 1, covered: 1 }, activity: 'up' },
  });
  await t.rejects(client.explain({ name: 'nobody' }), { code: 'not_found' });
});
