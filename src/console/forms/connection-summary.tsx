import type { ReactNode } from 'react';
import { useIkePolicies, useIpsecPolicies } from '../api/queries.ts';
import { listOf } from './connection-model.ts';
import { algorithmName, algorithmsOf, weakOf } from './policy-model.ts';
import type { ConnectionForm } from './use-connection-form.ts';

/** What will be made, in the words of what it means; to be read before the button is pressed. */
export function ConnectionSummary({
  form,
  gateway,
  addresses,
  children,
}: {
  readonly form: ConnectionForm;
  readonly gateway: string;
  /** The gateway's public addresses, as far as they are known. */
  readonly addresses: readonly string[];
  /** Buttons, and what went wrong. */
  readonly children: ReactNode;
}): ReactNode {
  const ike = useIkePolicies().data?.find(({ id }) => id === form.entry.ikePolicy);
  const ipsec = useIpsecPolicies().data?.find(({ id }) => id === form.entry.ipsecPolicy);
  const weak = [...(ike === undefined ? [] : weakOf(ike)), ...(ipsec === undefined ? [] : weakOf(ipsec))];
  const rows = [
    ['Gateway', gateway] as const,
    ...rowsOf(form, addresses),
    ['IKE', ike === undefined ? 'Auto' : algorithmsOf(ike).map(algorithmName).join(', ')] as const,
    ['IPsec', ipsec === undefined ? 'Auto' : algorithmsOf(ipsec).map(algorithmName).join(', ')] as const,
  ];
  return (
    <aside className="summary" aria-label="Summary">
      <h2>Summary</h2>
      <dl>
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {weak.length === 0 ? null : (
        <p className="weak">
          {weak.join(', ')}: no longer secure. Leave {weak.length === 1 ? 'it' : 'them'} as soon as the peer
          can do without.
        </p>
      )}
      {form.other === undefined ? null : (
        <p className="fault" role="alert">
          {form.other}
        </p>
      )}
      {children}
    </aside>
  );
}

function rowsOf(
  { entry, mode }: ConnectionForm,
  addresses: readonly string[],
): readonly (readonly [name: string, value: string])[] {
  const own = entry.localIdentities.slice(0, mode === 'route' ? 2 : 1).map(({ value }) => value.trim());
  const automatic = addresses.join(', ') || 'the public address';
  const networks = [
    ['Local networks', listOf(entry.localCidrs).join(', ') || '–'],
    ['Peer networks', listOf(entry.peerCidrs).join(', ') || '–'],
  ] as const;
  return [
    ['Mode', mode === 'route' ? 'Route-based, two tunnels' : 'Policy-based'],
    ['Peer', entry.peer.trim() || '–'],
    ['Initiated by', entry.establishMode === 'peer_only' ? 'the peer only' : 'either side'],
    ...(mode === 'route' ? [] : networks),
    ['Local identity', own.every((one) => one === '') ? automatic : own.join(', ')],
    ['Peer identity', entry.peerIdentity.value.trim() || entry.peer.trim() || '–'],
  ];
}
