import type { TransformNeed } from '../../crypto/types.js';
import { copyOf, toHex } from '../../util/bytes.js';
import { copyOfPlain } from '../../util/secret.js';
import type { ConnectionConfig } from '../config.js';
import { enterChild, enterTables } from '../sa/books.js';
import { restoreDh } from '../sa/dh-record.js';
import { resumeExpecting } from '../sa/esp-spi.js';
import { idsOf, reportAdoptedChild, reportAdoptedIke } from '../sa/record.js';
import { Retransmission } from '../sa/retransmission.js';
import type { V1Child } from './child-record.js';
import { DpdState } from './dpd-state.js';
import { IsakmpSa } from './isakmp-sa.js';
import type { Authenticated, Phase, Session } from './phases.js';
import { IvChain, V1Protection } from './protect.js';
import type { QuickExchange } from './quick.js';
import {
  copyLast,
  type QuickRecord,
  type V1ChildSaRecord,
  type V1IkeRecord,
  type V1SaRecord,
} from './record.js';
import type { World } from './world.js';

/** Carries on what a record says whose common part is sound. Returns why not, and has changed nothing then. */
export function adoptSa(world: World, record: V1SaRecord, connection: ConnectionConfig): string | undefined {
  const { ctx } = world;
  const { ike, closing, orphans, askedOrphans } = record;
  const reason = refusalOf(world, record);
  if (reason !== undefined) return reason;
  for (const id of idsOf(record)) ctx.keepId(id);
  const children = new Map(record.children.map((child) => [child.id, adoptChild(world, child, connection)]));
  if (ike !== undefined) adoptIke(world, connection, ike, phaseOf(world, ike, children));
  if (closing !== undefined) {
    const { ike: closed, forgetAt } = closing;
    ctx.keepId(closed.id);
    const phase = authenticatedOf(world, closed, children);
    adoptIke(world, connection, closed, { ...phase, at: 'closing', forgetAt });
  }
  if (orphans !== undefined) world.orphans.set(connection.id, { ...orphans, path: { ...orphans.path } });
  if (askedOrphans !== undefined) world.askedOrphans.set(connection.id, askedOrphans);
  reportAdoptedIke(ctx, record);
  for (const child of record.children)
    if (child.state !== 'pending') reportAdoptedChild(ctx, connection.id, child.reportedWith, child);
  return undefined;
}

function refusalOf({ ctx, table, espSpis }: World, { ike, closing }: V1SaRecord): string | undefined {
  if (closing !== undefined && !ctx.isFree(closing.ike.id)) return `the SA id ${closing.ike.id} is in use`;
  for (const one of [ike, closing?.ike]) {
    if (one === undefined) continue;
    const cookie = toHex(one.role === 'initiator' ? one.initiatorSpi : one.responderSpi);
    if (table.has(cookie)) return `the IKE SPI 0x${cookie} is in use`;
    const spi = one.quicks.map(offeredSpi).find((offered) => offered !== undefined && espSpis.has(offered));
    if (spi !== undefined) return `the inbound ESP SPI 0x${spi.toString(16)} is in use`;
    const missing = needsOf(one).find((need) => !ctx.crypto.supports(need));
    if (missing !== undefined)
      return `the ${missing.kind} algorithm ${missing.id} of the SA is not available here`;
  }
  return undefined;
}

function needsOf({ suite, quicks }: V1IkeRecord): TransformNeed[] {
  const groups = quicks.flatMap((one) =>
    one.state === 'sent' && one.dh !== undefined ? [one.dh.group] : [],
  );
  return [
    { kind: 'encryption', ...suite.encryption },
    { kind: 'prf', id: suite.prf },
    ...groups.map((id) => ({ kind: 'dh', id }) as const),
  ];
}

/** The inbound SPI that our message 1 has given to the peer. The packet path expects it already. */
function offeredSpi(quick: QuickRecord): number | undefined {
  return quick.state === 'sent' || quick.state === 'abandoned' ? quick.spiIn : undefined;
}

function adoptChild(world: World, record: V1ChildSaRecord, { id: connection }: ConnectionConfig): V1Child {
  const { rekeyAt, nextRekeyAt, reportedWith: ikeId, narrowed, ...rest } = record;
  const reported = { ikeId, rekeyAt, narrowed };
  const child: V1Child = { ...rest, connection, rekeyAt: nextRekeyAt, reported };
  world.children.add(child);
  enterChild(world, child);
  world.ctx.passId(child.order);
  return child;
}

function adoptIke(world: World, connection: ConnectionConfig, ike: V1IkeRecord, phase: Phase): void {
  const { id, role, createdAt, firstRequestKey } = ike;
  const initiatorCookie = copyOf(ike.initiatorSpi);
  const known = firstRequestKey === undefined ? {} : { firstRequestKey };
  const sa = new IsakmpSa({ id, role, initiatorCookie, createdAt, connection, ...known }, phase);
  sa.identities = ike.identities;
  sa.fragmentsSent = ike.fragmentsSent;
  for (const code of ike.quirks) sa.quirks.set(code, true);
  for (const used of ike.messageIds) sa.messageIds.add(used);
  enterTables(world, sa);
  world.ctx.passId(ike.establishedOrder);
  for (const quick of ike.quicks) {
    const spi = offeredSpi(quick);
    if (spi !== undefined) resumeExpecting(world, spi);
    if (quick.state === 'sent') world.ctx.passId(quick.order);
  }
}

function phaseOf(world: World, ike: V1IkeRecord, children: ReadonlyMap<number, V1Child>): Phase {
  const phase = authenticatedOf(world, ike, children);
  const { superseded } = ike;
  return superseded === undefined
    ? { ...phase, at: 'established' }
    : { ...phase, at: 'superseded', deleteAt: superseded.deleteAt };
}

function authenticatedOf(
  { ctx: { crypto } }: World,
  ike: V1IkeRecord,
  children: ReadonlyMap<number, V1Child>,
): Authenticated {
  const { local, remote, natTraversalPort, natTraversal, nat, suite, peerVendors: vendors } = ike;
  const { lifetimes, dialect, dpd, fragmentation } = ike;
  const quicks = ike.quicks.flatMap((one) => {
    const quick = quickOf(crypto, one, children);
    return quick === undefined ? [] : [[quick.messageId, quick] as const];
  });
  return {
    link: { local, remote, natTraversalPort, responderCookie: copyOf(ike.responderSpi) },
    terms: { suite, lifetimes, dialect, dpd, fragmentation, vendors },
    natTraversal,
    nat,
    last: copyLast(ike.last),
    protection: new V1Protection(crypto, suite, copyOfPlain(ike.keys), { iv: copyOf(ike.iv) }),
    session: sessionOf(ike, new Map(quicks)),
  };
}

function sessionOf(ike: V1IkeRecord, quicks: Session['quicks']): Session {
  const { peerIdentity, natReport, establishedAt, establishedOrder, expiresAt, lastInbound } = ike;
  const { rekeyRefused, lastMessage, completeAt, unsupported } = ike;
  return {
    ...{ peerIdentity, natReport, establishedAt, establishedOrder, expiresAt, lastInbound },
    ...{ rekeyRefused, lastMessage, completeAt, unsupported },
    rekeyAt: ike.nextRekeyAt,
    reportedRekeyAt: ike.rekeyAt,
    dpd: DpdState.from(ike.liveness),
    quicks,
    wanted: [...ike.wanted],
    demands: new Map(ike.demands),
    pairRetries: new Map(ike.pairRetries),
  };
}

/** Undefined where the ESP SAs that wait for message 3 are not in the record. */
function quickOf(
  crypto: World['ctx']['crypto'],
  record: QuickRecord,
  children: ReadonlyMap<number, V1Child>,
): QuickExchange | undefined {
  switch (record.state) {
    case 'sent': {
      const { iv, dh, retransmission, ...rest } = record;
      return {
        ...rest,
        chain: new IvChain(copyOf(iv)),
        dh: dh && restoreDh(crypto, dh),
        retransmission: Retransmission.from(retransmission),
      };
    }
    case 'answered': {
      const { iv, childId, retransmission, ...rest } = record;
      const child = children.get(childId);
      if (child === undefined) return undefined;
      return {
        ...rest,
        chain: new IvChain(copyOf(iv)),
        child,
        retransmission: Retransmission.from(retransmission),
      };
    }
    case 'abandoned': {
      const { iv, ...rest } = record;
      return { ...rest, chain: new IvChain(copyOf(iv)) };
    }
    case 'done':
      return record;
  }
}
