import type { OperatorEvent } from '../../src/telemetry/events/operator-events.js';

const policy = { resourceType: 'ike_policy', id: '0717-p', name: 'strong', who: 'ann' } as const;

/** Every kind of event around the engine in every form in which its words differ. */
export const EVERY_OPERATOR_EVENT: readonly OperatorEvent[] = [
  { kind: 'connection-status', name: 'to-b', status: 'up', before: 'down', isWanted: true },
  {
    kind: 'connection-status',
    name: 'to-b',
    status: 'down',
    before: 'up',
    isWanted: true,
    cause: 'dpd_timeout',
    reason: 'The peer is dead.',
  },
  {
    kind: 'connection-status',
    name: 'to-b',
    status: 'down',
    before: 'up',
    isWanted: false,
  },
  { kind: 'gateway-reloaded', ok: true, changed: 1, unchanged: 3, problems: [] },
  { kind: 'gateway-reloaded', ok: true, changed: 1, unchanged: 3, problems: ['a route is in the way'] },
  { kind: 'gateway-reloaded', ok: false, changed: 0, unchanged: 0, problems: ['gateway.address: restart'] },
  { kind: 'gateway-started', pid: 7, adopted: false },
  { kind: 'gateway-started', pid: 7, adopted: true },
  { kind: 'gateway-ended', reason: 'The gateway process has ended.', retryMs: 250 },
  { kind: 'gateway-silent', reason: 'The gateway process 7 does not answer.', pid: 7 },
  { kind: 'gateway-answers', pid: 7 },
  { kind: 'gateway-took-over', reason: 'silent', term: 2 },
  { kind: 'gateway-took-over', reason: 'switch', term: 3 },
  { kind: 'gateway-health', state: 'ok', before: 'faulted', reasons: [] },
  {
    kind: 'gateway-health',
    state: 'faulted',
    before: 'ok',
    reasons: [{ code: 'internal_error', message: 'The gateway has ended.' }],
  },
  { kind: 'object-created', ...policy, action: 'is.vpn.ike-policy.create' },
  { kind: 'object-changed', ...policy, action: 'is.vpn.ike-policy.update' },
  { kind: 'object-deleted', ...policy, action: 'is.vpn.ike-policy.delete' },
  { kind: 'server-started', program: 'culvert 0' },
  { kind: 'server-reloaded', fields: ['tokens'] },
  { kind: 'server-reloaded', fields: [] },
  { kind: 'server-reload-refused', problems: ['"store" is fixed'] },
  { kind: 'webhook-failing', webhook: 'alerts', why: 'it answered with status 500' },
  { kind: 'webhook-recovered', webhook: 'alerts', dropped: 0 },
  { kind: 'webhook-recovered', webhook: 'alerts', dropped: 2 },
  { kind: 'gap', reason: 'restarted' },
  { kind: 'gap', reason: 'overwritten', lost: 9 },
];
