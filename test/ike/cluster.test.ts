import t from 'tap';
import type { DatagramInput } from '../../src/ike/inputs.js';
import type { Output } from '../../src/ike/outputs.js';
import { clusterAnswer, clusterOffer } from '../../src/ike/v2/cluster.js';
import { notify } from '../../src/ike/v2/payloads.js';
import { toHex, writeU32 } from '../../src/util/bytes.js';
import { decodeMessageIdSync, encodeMessageIdSync, type MessageIdSync } from '../../src/wire/ike/cluster.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import type { Payload } from '../../src/wire/ike/payloads.js';
import { ExchangeType, NotifyType, ProtocolId } from '../../src/wire/ike/registry.js';
import { HostGateway, HostilePeer } from '../helpers/hostile-peer.js';

const NONCE = Uint8Array.of(0, 1, 0xfe, 0xff);

/** What a member that takes over asks for. */
function syncOf(nextSent: number, nextReceived: number, nonce = NONCE): Payload {
  return notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, encodeMessageIdSync({ nonce, nextSent, nextReceived }));
}

function countersOf(packets: number): Payload {
  const data = new Uint8Array(4);
  writeU32(data, 0, packets);
  return notify(NotifyType.IPSEC_REPLAY_COUNTER_SYNC, data);
}

/** A gateway with a peer that is a cluster, and what the members say. */
class Cluster {
  readonly gateway = new HostGateway(2);
  readonly member = new HostilePeer(this.gateway).connect();

  asks(...payloads: Payload[]): DatagramInput {
    return this.member.sealed(ExchangeType.INFORMATIONAL, payloads, 0);
  }

  /** The message ids in the answer to a request for them; undefined when there is none. */
  answerTo(request: DatagramInput): MessageIdSync | undefined {
    const [answer] = this.gateway.receive(request);
    if (answer === undefined) return undefined;
    const message = decodeMessage(answer.bytes);
    const sealed = message.ok ? message.value.payloads.at(-1) : undefined;
    if (!message.ok || sealed?.kind !== 'sk' || !message.value.header.response) throw new Error('no answer');
    if (message.value.header.messageId !== 0) throw new Error('another message id than 0');
    const opened = this.member.sa.protection!.open(answer.bytes, sealed);
    const only = opened.ok && opened.value.length === 1 ? opened.value[0] : undefined;
    if (only?.kind !== 'notify' || only.type !== NotifyType.IKEV2_MESSAGE_ID_SYNC)
      throw new Error('more in it');
    return decodeMessageIdSync(only.data);
  }

  /** What the gateway sends of its own accord at this input. */
  sent(outputs: readonly Output[]): { exchange: number; id: number }[] {
    return outputs.flatMap((output) => {
      const message = output.kind === 'send' ? decodeMessage(output.bytes) : undefined;
      if (message?.ok !== true || message.value.header.response) return [];
      return [{ exchange: message.value.header.exchangeType, id: message.value.header.messageId }];
    });
  }

  get takeovers(): unknown[] {
    return this.gateway.events.filter(({ kind }) => kind === 'peer-took-over');
  }

  get drops(): string[] {
    return this.gateway.events.flatMap((event) => (event.kind === 'datagram-dropped' ? [event.detail] : []));
  }

  get skips(): unknown[] {
    return this.gateway.outputs.filter(({ kind }) => kind === 'skip-outbound');
  }
}

t.test('both ends say what they support, the responder only what it was offered (RFC 6311 §5)', async (t) => {
  const { member, gateway } = new Cluster();
  const agreed = { messageIds: true, counters: true, last: undefined };
  t.same(member.sa.service!.cluster, agreed, 'the initiator, by the answer');
  const [record] = gateway.engine.export();
  t.match(record!.ike, { service: { cluster: { messageIds: true, counters: true } } });
  t.same(clusterAnswer([]), []);
  t.same(clusterAnswer(clusterOffer().slice(1)), clusterOffer().slice(1));
  member.rekey();
  t.same(member.sa.service!.cluster, agreed, 'a rekeyed IKE SA is no other peer');
});

t.test('a member that takes over says where it goes on, and both ends do', async (t) => {
  const cluster = new Cluster();
  const { member, gateway } = cluster;
  for (let i = 0; i < 3; i++) t.equal(member.ask(ExchangeType.INFORMATIONAL, []), 'nothing');
  const used = member.sa.nextMessageId;
  // It knows less of the gateway's requests than there were, and leaves out a window of its own.
  const request = cluster.asks(syncOf(used + 10, 0));
  t.same(cluster.answerTo(request), { nonce: NONCE, nextSent: 0, nextReceived: used + 10 }, 'P2 and M2');
  t.match(cluster.takeovers, [{ connection: 'site', nextReceived: used + 10, nextSent: 0, skipped: 0 }]);

  t.test('a lost answer is given again, and nothing else happens', async (t) => {
    const [first, again] = [gateway.receive(request), gateway.receive(request)];
    t.equal(toHex(first[0]!.bytes), toHex(again[0]!.bytes));
    t.equal(cluster.takeovers.length, 1);
  });

  t.test('the ids before are over', async (t) => {
    member.sa.nextMessageId = used;
    t.equal(member.ask(ExchangeType.INFORMATIONAL, []), 'silence');
    member.sa.nextMessageId = used + 10;
    t.equal(member.ask(ExchangeType.INFORMATIONAL, []), 'nothing');
    t.equal(member.askChild(), 'child');
  });

  t.test('recorded requests move nothing back (RFC 6311 §5.1)', async (t) => {
    t.same(gateway.receive(request), [], 'also the last one, when a request of the member has come since');
    for (const nextSent of [0, 1, used + 10, used + 11])
      t.equal(cluster.answerTo(cluster.asks(syncOf(nextSent, 50))), undefined, `from ${nextSent}`);
    t.match(cluster.drops.at(-1), /from \d+, and \d+ was used or asked for before/);
    t.equal(member.ask(ExchangeType.INFORMATIONAL, []), 'nothing', 'the window is as it was');
    t.same(
      cluster.answerTo(cluster.asks(syncOf(used + 13, 50))),
      { nonce: NONCE, nextSent: 50, nextReceived: used + 13 },
      'the next member may take over where the last one has come to',
    );
    t.equal(cluster.answerTo(cluster.asks(syncOf(used + 13, 51))), undefined, 'once');
    t.equal(cluster.takeovers.length, 2);
  });
});

t.test('what a crafted request must not do', async (t) => {
  const cluster = new Cluster();
  const { member, gateway } = cluster;
  const next = member.sa.nextMessageId;
  const before = JSON.stringify(gateway.engine.export());
  const wrong: [string, DatagramInput][] = [
    ['with a payload beside', cluster.asks(syncOf(next + 1, 0), notify(NotifyType.INITIAL_CONTACT))],
    ['twice', cluster.asks(syncOf(next + 1, 0), syncOf(next + 2, 0))],
    [
      'with a DELETE',
      cluster.asks(syncOf(next + 1, 0), { kind: 'delete', protocol: ProtocolId.IKE, spis: [] }),
    ],
    ['of the wrong length', cluster.asks(notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, new Uint8Array(11)))],
    ['with nothing in it', cluster.asks()],
    ['beyond all ids', cluster.asks(syncOf(0xffffffff, 0))],
    ['beyond all of ours', cluster.asks(syncOf(next + 1, 0xffffffff))],
    ['in another exchange', member.sealed(ExchangeType.CREATE_CHILD_SA, [syncOf(next + 1, 0)], 0)],
    ['under another id', member.sealed(ExchangeType.INFORMATIONAL, [syncOf(next + 1, 0)], 5)],
  ];
  for (const [how, request] of wrong) t.same(gateway.receive(request), [], how);
  const forged = cluster.asks(syncOf(next + 1, 0));
  forged.bytes[forged.bytes.length - 1]! ^= 1;
  t.same(gateway.receive(forged), [], 'forged');
  t.equal(JSON.stringify(gateway.engine.export()), before, 'nothing was kept of any');
  t.same(cluster.takeovers, []);
  t.equal(member.ask(ExchangeType.INFORMATIONAL, []), 'nothing', 'and the SA goes on');

  t.test('nor as often as it likes', async (t) => {
    let answered = 0;
    for (let i = 1; i <= 2000; i++)
      if (cluster.answerTo(cluster.asks(syncOf(next + 10 * i, 0))) !== undefined) answered++;
    t.ok(answered > 100 && answered < 400, `${answered} of 2000`);
    t.match(cluster.drops.at(-1), /more often than the peer of one connection may ask/);
  });
});

t.test('sequence numbers are left out where the member asks for that (RFC 6311 §5.2)', async (t) => {
  const cluster = new Cluster();
  const { member, gateway } = cluster;
  t.equal(member.askChild(), 'child', 'a second child SA');
  const children = gateway.engine.export()[0]!.children.map(({ id }) => id);
  const skips = (packets: number) => children.map((childId) => ({ kind: 'skip-outbound', childId, packets }));
  const next = member.sa.nextMessageId;
  t.ok(cluster.answerTo(cluster.asks(syncOf(next + 1, 0), countersOf(70_000))), 'beside the message ids');
  t.same(cluster.skips, skips(70_000));
  t.match(cluster.takeovers, [{ skipped: 70_000 }]);
  member.sa.nextMessageId = next + 1;

  const alone = member.sealed(ExchangeType.INFORMATIONAL, [countersOf(5)]);
  t.equal(member.heard(gateway.receive(alone)), 'nothing', 'or alone');
  t.equal(member.heard(gateway.receive(alone)), 'nothing');
  t.same(cluster.skips, [...skips(70_000), ...skips(5)], 'once, however often it comes');

  for (const data of [new Uint8Array(8), new Uint8Array(4), Uint8Array.of(0x40, 0, 0, 1)])
    member.ask(ExchangeType.INFORMATIONAL, [notify(NotifyType.IPSEC_REPLAY_COUNTER_SYNC, data)]);
  t.equal(cluster.skips.length, 2 * children.length, 'of another length, none, or too many');
});

t.test('a request of ours that no member will answer is asked again under a new id', async (t) => {
  const cluster = new Cluster();
  const { member, gateway } = cluster;
  const asked = cluster.sent(
    gateway.engine.handle({ kind: 'renew', connection: 'site', scope: 'children' }, gateway.now),
  );
  t.match(asked, [{ exchange: ExchangeType.CREATE_CHILD_SA }]);
  const { id } = asked[0]!;
  const next = member.sa.nextMessageId;
  t.match(
    cluster.answerTo(cluster.asks(syncOf(next, 0))),
    { nextSent: id + 1 },
    'P2 is one more than was used',
  );
  gateway.now += 2500;
  const again = cluster.sent(gateway.engine.handle({ kind: 'timer' }, gateway.now));
  t.match(again, [{ exchange: ExchangeType.CREATE_CHILD_SA, id: id + 1 }]);

  t.test('a DELETE at once', async (t) => {
    const ends = gateway.engine.handle({ kind: 'terminate', connection: 'site' }, gateway.now);
    t.same(cluster.sent(ends), [], 'it waits for the request under way');
    t.match(cluster.answerTo(cluster.asks(syncOf(next + 5, 0))), { nextSent: id + 2 });
    const deletes = cluster
      .sent(gateway.outputs)
      .filter(({ exchange }) => exchange === ExchangeType.INFORMATIONAL);
    t.same(deletes, [{ exchange: ExchangeType.INFORMATIONAL, id: id + 2 }]);
    t.match(cluster.answerTo(cluster.asks(syncOf(next + 9, 0))), { nextSent: id + 3 });
    const last = cluster.sent(gateway.outputs).at(-1);
    t.same(last, { exchange: ExchangeType.INFORMATIONAL, id: id + 3 }, 'and once more for the next member');
  });
});
