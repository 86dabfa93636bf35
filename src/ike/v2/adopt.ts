import type { CryptoBackend, TransformNeed } from '../../crypto/types.js';
import { copyOf, toHex } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import { copyOfPlain } from '../../util/secret.js';
import type { ConnectionConfig } from '../config.js';
import { enterChild, enterTables } from '../sa/books.js';
import { restoreDh } from '../sa/dh-record.js';
import { resumeExpecting } from '../sa/esp-spi.js';
import { idsOf, reportAdoptedChild, reportAdoptedIke } from '../sa/record.js';
import { Retransmission } from '../sa/retransmission.js';
import type { ChildRecord } from './child-record.js';
import { ChildSet } from './child-set.js';
import { IkeSa } from './ike-sa.js';
import type { IkePhase, Link } from './phases.js';
import { createProtection } from './protect.js';
import type { ExchangeRecord, SentRecord, V2ChildSaRecord, V2IkeRecord, V2SaRecord } from './record.js';
import type { Exchange } from './tasks.js';
import { RequestWindow, type SentRequest } from './window.js';
import type { World } from './world.js';

/** Carries on the SA of a record whose common part is sound. Returns why not, and has changed nothing then. */
export function adoptSa(world: World, record: V2SaRecord, connection: ConnectionConfig): string | undefined {
  const { ctx } = world;
  const { ike } = record;
  const reason = refusalOf(world, record);
  if (reason !== undefined) return reason;
  const sa = new IkeSa({
    id: ike.id,
    role: ike.role,
    phase: phaseOf(world, record, connection),
    initiatorSpi: copyOf(ike.initiatorSpi),
    createdAt: ike.createdAt,
    inbound: RequestWindow.from(ike.inbound),
    ...(ike.firstRequestKey === undefined ? {} : { firstRequestKey: ike.firstRequestKey }),
  });
  sa.connection = connection;
  sa.identities = ike.identities;
  sa.lastInbound = ike.lastInbound;
  sa.tasks.push(...ike.tasks);
  for (const id of idsOf(record)) ctx.keepId(id);
  ctx.passId(ike.establishedOrder);
  enterTables(world, sa);
  for (const { id, spiIn } of record.children) {
    world.childOwners.set(id, sa);
    enterChild(world, { connection: connection.id, spiIn });
  }
  const expected = expectedSpi(ike);
  if (expected !== undefined) resumeExpecting(world, expected);
  notePeer(world, record);
  reportAdoptedIke(ctx, record);
  for (const child of record.children) reportAdoptedChild(ctx, connection.id, child.reportedWith, child);
  return undefined;
}

/** The inbound SPI that our request under way has given to the peer. The packet path expects it already. */
function expectedSpi({ active }: V2IkeRecord): number | undefined {
  const exchange = active?.exchange;
  const task = exchange?.kind === 'followup-ke' ? exchange.of.task : exchange;
  return task?.kind === 'create-child' ? task.spi : undefined;
}

function notePeer(world: World, { connection, peer }: V2SaRecord): void {
  if (peer.perPair) world.perPair.add(connection);
  if (peer.plain !== undefined) world.plain.set(connection, peer.plain);
  if (peer.renewing) world.renewals.add(connection);
  const { startedOver = Number.NEGATIVE_INFINITY } = peer;
  const before = world.startedOver.get(connection) ?? Number.NEGATIVE_INFINITY;
  if (startedOver > before) world.startedOver.set(connection, startedOver);
}

function refusalOf({ ctx, table, espSpis }: World, { ike }: V2SaRecord): string | undefined {
  const spi = toHex(ike.role === 'initiator' ? ike.initiatorSpi : ike.responderSpi);
  if (table.has(spi)) return `the IKE SPI 0x${spi} is in use`;
  const expected = expectedSpi(ike);
  if (expected !== undefined && espSpis.has(expected))
    return `the inbound ESP SPI 0x${expected.toString(16)} is in use`;
  const missing = needsOf(ike).find((need) => !ctx.crypto.supports(need));
  return missing && `the ${missing.kind} algorithm ${missing.id} of the SA is not available here`;
}

function needsOf({ suite, active }: V2IkeRecord): TransformNeed[] {
  const { encryption, integrity, prf } = suite;
  const exchange = active?.exchange;
  const left = exchange?.kind === 'followup-ke' ? exchange.left : [];
  const dh = exchange !== undefined && 'dh' in exchange ? exchange.dh : undefined;
  return [
    { kind: 'encryption', ...encryption },
    { kind: 'prf', id: prf },
    ...(integrity === 0 ? [] : [{ kind: 'integrity', id: integrity } as const]),
    ...(dh === undefined ? [] : [{ kind: 'key_exchange', id: dh.group } as const]),
    ...left.map((id) => ({ kind: 'key_exchange', id }) as const),
  ];
}

function phaseOf(world: World, { ike, children, term }: V2SaRecord, { id }: ConnectionConfig): IkePhase {
  const { ctx } = world;
  const keys = copyOfPlain(ike.keys);
  // Another term has all its numbers left.
  const sealed = term === ctx.term ? ike.sealed : 0;
  const protection = createProtection(ctx, ike.suite, keys, ike.role, sealed);
  const { peerIdentity, natReport, establishedAt, establishedOrder, expiresAt, service } = ike;
  const set = new ChildSet();
  for (const child of children) set.add(childOf(child, id));
  return {
    ...ike.phase,
    link: linkOf(ctx.crypto, ike),
    keyed: { suite: ike.suite, keys, protection, nonces: ike.nonces.map(copyOf) },
    service: {
      ...service,
      ...{ peerIdentity, natReport, establishedAt, establishedOrder, expiresAt },
      reportedRekeyAt: ike.rekeyAt,
      pending: undefined,
      busy: service.busy && { ...service.busy },
      children: set,
      gaps: new Map(service.gaps.map(([name, gap]) => [name, { ...gap }])),
    },
  };
}

function linkOf(crypto: CryptoBackend, ike: V2IkeRecord): Link {
  const { local, remote, natTraversalPort, natTraversal, nat, fragmentation, peerVendors, nextMessageId } =
    ike;
  return {
    responderSpi: copyOf(ike.responderSpi),
    ...{ local, remote, natTraversalPort, natTraversal, nat, fragmentation, peerVendors, nextMessageId },
    reassembly: undefined,
    quirks: new Map(ike.quirks.map((code) => [code, true])),
    active: ike.active && requestOf(crypto, ike.active),
  };
}

function requestOf(crypto: CryptoBackend, { exchange, retransmission, ...sent }: SentRecord): SentRequest {
  return {
    ...sent,
    datagrams: sent.datagrams.map(copyOf),
    task: exchangeOf(crypto, exchange),
    retransmission: Retransmission.from(retransmission),
  };
}

function exchangeOf(crypto: CryptoBackend, exchange: ExchangeRecord): Exchange {
  if (exchange.kind === 'rekey-ike') return { ...exchange, dh: restoreDh(crypto, exchange.dh) };
  if (exchange.kind === 'create-child')
    return { ...exchange, dh: exchange.dh && restoreDh(crypto, exchange.dh) };
  if (exchange.kind === 'followup-ke') {
    const { dh, ...rest } = exchange;
    return { ...copyOfPlain(rest), dh: restoreDh(crypto, dh) };
  }
  return exchange;
}

function childOf(record: V2ChildSaRecord, connection: ConnectionId): ChildRecord {
  const { rekeyAt, nextRekeyAt, reportedWith: ikeId, narrowed, ...rest } = record;
  return { ...rest, connection, rekeyAt: nextRekeyAt, reported: { ikeId, rekeyAt, narrowed } };
}
