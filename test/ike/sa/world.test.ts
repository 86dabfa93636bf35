import t from 'tap';
import type { IkeEvent } from '../../../src/ike/events.js';
import { exactlyOne, find, notification, only } from '../../../src/ike/payloads.js';
import { failure, nobodyKnown } from '../../../src/ike/sa/failures.js';
import { addressInTurn, drop, firstRequestKey, mayRekey, nextInTurn } from '../../../src/ike/sa/world.js';
import { copyOfPlain, SecretKey } from '../../../src/util/secret.js';

type Payload =
  | { readonly kind: 'nonce'; readonly data: number }
  | { readonly kind: 'idi' | 'idr'; readonly name: string };
const list: readonly Payload[] = [
  { kind: 'idi', name: 'a' },
  { kind: 'nonce', data: 1 },
  { kind: 'idr', name: 'b' },
  { kind: 'nonce', data: 2 },
];

t.test('payloads by their kind', async (t) => {
  t.equal(find(list, 'nonce')?.data, 1, 'the first');
  t.equal(find(list, 'idr')?.name, 'b', 'of a record that serves two kinds');
  t.equal(find(list.slice(0, 2), 'idr'), undefined);
  t.equal(only(list, 'idi')?.name, 'a');
  t.equal(only(list, 'nonce'), undefined, 'there twice');
  t.equal(only(list.slice(2, 3), 'nonce'), undefined, 'not there');
  t.strictSame(exactlyOne(list.slice(0, 3), 'idr', 'nonce'), { idr: list[2], nonce: list[1] });
  t.equal(exactlyOne(list, 'idi', 'nonce'), undefined);
  t.equal(exactlyOne(list.slice(0, 2), 'idi', 'idr'), undefined);
});

t.test('a notification is about no SA where nothing else is said', async (t) => {
  const empty = new Uint8Array(0);
  t.strictSame(notification(24), { kind: 'notify', protocol: 0, spi: empty, type: 24, data: empty });
  const spi = Uint8Array.of(1);
  t.match(notification(7, { protocol: 3, spi }), { protocol: 3, spi, data: empty });
});

t.test('addresses of a peer take turns', async (t) => {
  const turns = { addressTurn: new Map<string, number>() };
  const site = { id: 'site', peer: { addresses: ['192.0.2.1', '192.0.2.2'] } };
  t.equal(addressInTurn(turns, site), '192.0.2.1');
  t.equal(nextInTurn(turns, site), '192.0.2.2');
  t.equal(addressInTurn(turns, site), '192.0.2.2', 'also for the next attempt');
  t.equal(nextInTurn(turns, site), '192.0.2.1');
  const other = { id: 'other', peer: { addresses: [] } };
  t.equal(addressInTurn(turns, other), undefined);
  t.equal(nextInTurn(turns, other), undefined);
});

t.test('what both versions say alike', async (t) => {
  t.equal(firstRequestKey(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), '::1'), '0102030405060708@::1');
  t.ok(mayRekey({ establishMode: 'bidirectional' }));
  t.notOk(mayRekey({ establishMode: 'peer_only' }));
  t.match(nobodyKnown(1), { message: /and IKEv1$/, details: { exchange: 'MAIN_MODE' } });
  t.match(nobodyKnown(2), { message: /and IKEv2$/, details: { exchange: 'IKE_SA_INIT' } });
  t.strictSame(failure('terminated', 'x'), { cause: 'terminated', message: 'x' });
  const events: IkeEvent[] = [];
  const remote = { address: '192.0.2.1', port: 500 };
  drop({ ctx: { event: (event) => events.push(event) } }, { remote }, 'malformed', 'x');
  t.strictSame(events, [{ kind: 'datagram-dropped', reason: 'malformed', peer: remote, detail: 'x' }]);
});

t.test('cloned keys outlive those they were made of', async (t) => {
  const keys = { a: new SecretKey(Uint8Array.of(1, 2)), b: undefined };
  const copy = copyOfPlain(keys);
  keys.a.wipe();
  t.strictSame(copy.a.expose(), Uint8Array.of(1, 2));
  t.strictSame(Object.keys(copy), ['a', 'b']);
});
