import { CheckmarkFilled, CircleDash, ErrorFilled, InProgress, WarningAltFilled } from '@carbon/react/icons';
import type { ComponentType, ReactNode } from 'react';
import type { Connection, Gateway } from '../api/types.ts';

/** How bad something is: red needs action now. Symbol, colour and words say it, so that no one of them has to. */
export type Tone = 'good' | 'warning' | 'bad' | 'busy' | 'off';

const ICONS: Readonly<Record<Tone, ComponentType<{ size?: number; className?: string }>>> = {
  good: CheckmarkFilled,
  warning: WarningAltFilled,
  bad: ErrorFilled,
  busy: InProgress,
  off: CircleDash,
};

/** A state in words, with the symbol and colour of its tone. */
export function State({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }): ReactNode {
  const Icon = ICONS[tone];
  return (
    <span className={`state state--${tone}`}>
      <Icon size={16} className="state-icon" />
      <span>{children}</span>
    </span>
  );
}

const HEALTH: Readonly<Record<Gateway['health_state'], readonly [Tone, string]>> = {
  ok: ['good', 'Healthy'],
  degraded: ['warning', 'Degraded'],
  faulted: ['bad', 'Faulted'],
  inapplicable: ['off', 'Inapplicable'],
};

/** The health of a gateway or of a member. */
export function HealthState({ state }: { readonly state: Gateway['health_state'] }): ReactNode {
  const [tone, text] = HEALTH[state];
  return <State tone={tone}>{text}</State>;
}

const LIFECYCLE: Readonly<Record<Gateway['lifecycle_state'], readonly [Tone, string]>> = {
  stable: ['good', 'Stable'],
  pending: ['busy', 'Pending'],
  updating: ['busy', 'Updating'],
  waiting: ['busy', 'Waiting'],
  deleting: ['busy', 'Deleting'],
  suspended: ['off', 'Suspended'],
  failed: ['bad', 'Failed'],
};

/** How far an object is in its life. */
export function LifecycleState({ state }: { readonly state: Gateway['lifecycle_state'] }): ReactNode {
  const [tone, text] = LIFECYCLE[state];
  return <State tone={tone}>{text}</State>;
}

/** Whether a connection carries traffic, and whether it is meant to. */
export function ConnectionState({ connection }: { readonly connection: Connection }): ReactNode {
  if (!connection.admin_state_up) return <State tone="off">Switched off</State>;
  return <TunnelState status={connection.status} />;
}

/** Up, degraded or down. */
export function TunnelState({ status }: { readonly status: 'up' | 'down' | 'degraded' }): ReactNode {
  if (status === 'up') return <State tone="good">Up</State>;
  return status === 'degraded' ? <State tone="warning">Degraded</State> : <State tone="bad">Down</State>;
}
