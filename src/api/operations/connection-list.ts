import type { ConnectionRecord } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { ApiContext, View } from '../context.js';
import { type Answer, answered, type Call } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import { connectionAnswer } from '../render/connections.js';
import type { ConnectionAnswer, Connections } from '../schemas/answers.js';
import { byAge } from './shared.js';

/** A connection as the caller may see it. */
export function renderConnection(
  connection: StoredObject<ConnectionRecord>,
  view: View,
  call: Call,
  context: ApiContext,
): ConnectionAnswer {
  const observation = context.runner.observe(connection.value.gateway);
  const withPsk = call.actor.principal.role === 'editor';
  return connectionAnswer(connection, view, call.links, call.dialect, observation, withPsk);
}

/** A page of connections, newest first. */
export function pageOfConnections(
  connections: readonly StoredObject<ConnectionRecord>[],
  view: View,
  call: Call,
  context: ApiContext,
  url: string,
  usual: number,
  filters: Readonly<Record<string, string>> = {},
): Answer<{ 200: typeof Connections }> {
  const rows = connections.map((item) => ({ item, key: byAge(item) }));
  const { items, frame } = pageOf(rows, readPage(call.query, usual), true, url, filters);
  const list = items.map((item) => renderConnection(item, view, call, context));
  return answered(200, { ...frame, connections: list });
}
