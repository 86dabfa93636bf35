import type { ReactNode } from 'react';
import type { Diagnosis } from '../../api/types.ts';
import { type Column, ObjectTable } from '../../parts/object-table.tsx';
import { Facts, Section } from '../../parts/page.tsx';
import { State, type Tone, TunnelState } from '../../parts/status.tsx';
import { Ago } from '../../parts/time.tsx';
import { count, octets, plural } from '../../parts/units.ts';

type Status = NonNullable<Diagnosis['connection']>;
type Child = Status['children'][number];
type Pair = NonNullable<Status['coverage']>['matrix'][number];

/** What is negotiated and carried, tunnel by tunnel. */
export function Tunnels({ diagnosis }: { readonly diagnosis: Diagnosis }): ReactNode {
  const { tunnels } = diagnosis;
  if (tunnels === undefined) return <Tunnel title="Tunnel" status={diagnosis.connection} />;
  return tunnels.map(({ public_ip, status, verdict, connection }) => (
    <Tunnel key={public_ip.address} title={`Tunnel of ${public_ip.address}`} status={connection}>
      <p>
        <TunnelState status={status} /> {verdict}
      </p>
    </Tunnel>
  ));
}

function Tunnel({
  title,
  status,
  children,
}: {
  readonly title: string;
  readonly status: Status | null;
  readonly children?: ReactNode;
}): ReactNode {
  if (status === null) {
    return (
      <Section title={title}>
        {children}
        <p className="help">There is no gateway process to ask.</p>
      </Section>
    );
  }
  return (
    <Section title={title}>
      {children}
      <Advisories status={status} />
      <IkeFacts status={status} />
      <Coverage status={status} />
      <Children rows={status.children} />
      <Drops drops={status.drops ?? {}} />
    </Section>
  );
}

function Advisories({ status }: { readonly status: Status }): ReactNode {
  const all = [...status.advisories, ...(status.quirks ?? [])];
  if (all.length === 0) return null;
  return (
    <ul className="reasons">
      {all.map(({ code, message }) => (
        <li key={code}>{message}</li>
      ))}
    </ul>
  );
}

function IkeFacts({ status }: { readonly status: Status }): ReactNode {
  const { ike } = status;
  if (ike === null) return <p className="help">No IKE SA is established.</p>;
  const behind = [...(ike.nat.local ? ['this side'] : []), ...(ike.nat.peer ? ['the peer'] : [])];
  return (
    <Facts
      facts={[
        ['IKE', `version ${ike.version}, ${ike.state}, as ${ike.role}`],
        ['Algorithms', [ike.encryption, ike.integrity, ike.prf, ike.dh_group].filter(Boolean).join(', ')],
        ['Endpoints', <span key="e" className="mono">{`${ike.local_endpoint} ⇄ ${ike.peer_endpoint}`}</span>],
        ['Identity of the peer', ike.peer_identity],
        ['Established', <Ago key="a" at={ike.established_at} />],
        ['Rekeying', <Ago key="r" at={ike.rekey_at} />],
        ['Behind NAT', behind.length === 0 ? 'neither' : behind.join(', ')],
        ['SPIs', <span key="s" className="mono">{`${ike.initiator_spi} ${ike.responder_spi}`}</span>],
      ]}
    />
  );
}

const PAIRS: Readonly<Record<Pair['state'], readonly [Tone, string]>> = {
  covered: ['good', 'Carried'],
  pending: ['busy', 'Pending'],
  refused: ['bad', 'Refused'],
  down: ['off', 'Down'],
};

/** Which pairs of networks are carried. */
function Coverage({ status }: { readonly status: Status }): ReactNode {
  const { coverage } = status;
  if (coverage === undefined || coverage.matrix.length === 0) return null;
  const columns: readonly Column<Pair>[] = [
    { key: 'local', title: 'Local network', cell: ({ local }) => <span className="mono">{local}</span> },
    { key: 'peer', title: 'Peer network', cell: ({ peer }) => <span className="mono">{peer}</span> },
    {
      key: 'state',
      title: 'State',
      cell: ({ state, cause }) => (
        <State tone={PAIRS[state][0]}>
          {PAIRS[state][1]}
          {cause === undefined ? '' : ` (${cause})`}
        </State>
      ),
    },
  ];
  return (
    <ObjectTable
      title="Coverage"
      description={`${coverage.covered} of ${plural(coverage.pairs, 'pair')} of networks carried`}
      columns={columns}
      rows={coverage.matrix}
      idOf={({ local, peer }) => `${local} ${peer}`}
      empty={null}
      isPlain
    />
  );
}

function Children({ rows }: { readonly rows: readonly Child[] }): ReactNode {
  const columns: readonly Column<Child>[] = [
    {
      key: 'networks',
      title: 'Networks',
      cell: ({ local_ts, peer_ts }) => (
        <span className="mono">{`${local_ts.join(', ')} ⇄ ${peer_ts.join(', ')}`}</span>
      ),
    },
    {
      key: 'in',
      title: 'In',
      cell: ({ bytes_in, packets_in }) => `${octets(bytes_in)}, ${count(packets_in)} packets`,
    },
    {
      key: 'out',
      title: 'Out',
      cell: ({ bytes_out, packets_out }) => `${octets(bytes_out)}, ${count(packets_out)} packets`,
    },
    {
      key: 'suite',
      title: 'Algorithms',
      wide: true,
      cell: ({ encryption, integrity, dh_group }) =>
        [encryption, integrity, dh_group === null ? null : `PFS ${dh_group}`].filter(Boolean).join(', '),
    },
    { key: 'mtu', title: 'Inner MTU', wide: true, cell: ({ inner_mtu }) => inner_mtu ?? '–' },
    {
      key: 'spi',
      title: 'SPIs',
      wide: true,
      cell: ({ spi_in, spi_out }) => <span className="mono">{`${spi_in} ${spi_out}`}</span>,
    },
    { key: 'rekey', title: 'Rekeying', wide: true, cell: ({ rekey_at }) => <Ago at={rekey_at} /> },
  ];
  if (rows.length === 0) return null;
  return (
    <ObjectTable
      title="Child SAs"
      columns={columns}
      rows={rows}
      idOf={({ spi_in }) => spi_in}
      empty={null}
      isPlain
    />
  );
}

function Drops({ drops }: { readonly drops: Readonly<Record<string, number>> }): ReactNode {
  const all = Object.entries(drops).filter(([, number]) => number > 0);
  if (all.length === 0) return null;
  return (
    <>
      <h3>Dropped packets</h3>
      <Facts facts={all.map(([reason, number]) => [reason.replaceAll('_', ' '), count(number)])} />
    </>
  );
}
