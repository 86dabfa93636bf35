import * as Type from '../../util/json-schema.js';
import type { AuditEntry, NumberedEntry } from '../audit/trail.js';
import { answered, type Operation, operation } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import * as Schemas from '../schemas/surroundings-answers.js';
import { choice, PAGE_QUERY } from './shared.js';

export const auditOperations: readonly Operation[] = [
  operation({
    tag: 'Server',
    method: 'GET',
    path: '/audit',
    prefixes: ['/culvert/v1'],
    id: 'list_audit',
    summary: 'List who did what, when and from where, the newest first; refused requests and logins, too',
    query: {
      ...PAGE_QUERY,
      action: Type.Optional(Type.String({ description: 'as in action, or its beginning' })),
      who: Type.Optional(Type.String({ description: 'as in initiator.name' })),
      target: Type.Optional(Type.String({ description: 'as in target.id' })),
      outcome: Type.Optional(Type.Enum(['success', 'failure'])),
    },
    success: { 200: Schemas.AuditEntries },
    errors: [400],
    async handle(call, { audit }) {
      const outcome = choice(call, 'outcome', ['success', 'failure']);
      const filters: Record<string, string> = outcome === undefined ? {} : { outcome };
      for (const name of ['action', 'who', 'target'] as const) {
        const value = call.query[name];
        if (typeof value === 'string') filters[name] = value;
      }
      const chosen = audit.entries().filter(({ entry }) => fits(entry, filters));
      const rows = chosen.map((item) => ({
        item,
        key: [String(item.number).padStart(15, '0'), ''] as const,
      }));
      const page = pageOf(rows, readPage(call.query, 50), true, call.links.own('audit'), filters);
      return answered(200, { ...page.frame, entries: page.items.map(answer) });
    },
  }),
];

function fits(entry: AuditEntry, { action = '', who, target, outcome }: Record<string, string>): boolean {
  return (
    entry.action.startsWith(action) &&
    (who === undefined || entry.initiator.name === who) &&
    (target === undefined || entry.target?.id === target) &&
    (outcome === undefined || entry.outcome === outcome)
  );
}

function answer({ entry }: NumberedEntry): Schemas.AuditEntryAnswer {
  const { at, action, outcome, initiator, target, reason, requestId, repeats } = entry;
  return {
    at,
    action,
    outcome,
    initiator,
    ...(target === undefined
      ? {}
      : {
          target: {
            resource_type: target.kind,
            id: target.id,
            ...(target.name === undefined ? {} : { name: target.name }),
          },
        }),
    ...(reason === undefined ? {} : { reason }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
    ...(repeats === undefined ? {} : { repeats }),
  };
}
