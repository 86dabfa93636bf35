import type { LiveChild } from './child.js';
import { type EspSpiPool, releaseSpi, useSpi } from './esp-spi.js';
import type { PeerBudget } from './peer-budget.js';
import type { TabledSa } from './table.js';
import type { CommonWorld } from './world.js';

/**
 * What both versions keep count of when SAs come and go. In which order an SA's heirs take over, and what the peer is
 * told, is each version's own.
 */
interface Books extends EspSpiPool {
  readonly ctx: EspSpiPool['ctx'] & { readonly budget: PeerBudget };
}

type Counted = Pick<LiveChild, 'connection' | 'spiIn'>;

/** A child SA is there, made here or adopted: its inbound SPI is in use and its connection has one more. */
export function enterChild(books: Books, { connection, spiIn }: Counted): void {
  books.ctx.budget.childAdded(connection);
  useSpi(books, spiIn);
}

/** It is gone from the version's tables: its SPI is free, and its connection may have another one. */
export function leaveChild(books: Books, { connection, spiIn }: Counted): void {
  books.ctx.budget.childRemoved(connection);
  releaseSpi(books, spiIn);
}

/** Takes an IKE SA that has ended out of the tables: from now on its messages, and their repetitions, are unknown. */
export function leaveTables<Sa extends TabledSa & { readonly firstRequestKey: string | undefined }>(
  { table, byFirstRequest }: Pick<CommonWorld<Sa>, 'table' | 'byFirstRequest'>,
  sa: Sa,
): void {
  table.remove(sa);
  const { firstRequestKey: key } = sa;
  if (key !== undefined && byFirstRequest.get(key) === sa) byFirstRequest.delete(key);
}

/** Puts an IKE SA into the tables that was answered here, or by the engine that handed it over. */
export function enterTables<Sa extends TabledSa & { readonly firstRequestKey: string | undefined }>(
  { table, byFirstRequest }: Pick<CommonWorld<Sa>, 'table' | 'byFirstRequest'>,
  sa: Sa,
): void {
  table.add(sa);
  if (sa.firstRequestKey !== undefined) byFirstRequest.set(sa.firstRequestKey, sa);
}
