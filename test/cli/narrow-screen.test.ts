import t from 'tap';
import { renderConnection } from '../../src/cli/status-view.js';
import { plainStyle } from '../../src/cli/style.js';
import { renderTable, wrapText } from '../../src/cli/table.js';
import { connectionView, gatewayView, renderList } from '../../src/cli/vpn/views.js';

const ID = '0717-5f8d4a1e-3b1f-4c55-9a77-0d6c0e9b1c2d';

t.test('a network is never cut in two, however narrow the screen', async (t) => {
  const text = '10.100.200.0/24 <> 192.168.100.0/22, fd00:1234:5678::/48';
  for (const network of text.split(/ <> |, /)) {
    for (let width = 20; width < 80; width++) {
      const table = renderTable([{ title: 'NAME', whole: true }, { title: 'CHILD' }], [['to-branch', text]], {
        width,
      });
      t.ok(table.join('\n').includes(network), `${network} in a table of ${width}`);
    }
    t.ok(wrapText(text, 22).join('\n').includes(network), `${network} in a text`);
  }
  t.same(
    wrapText('aes256/sha256/modp2048', 10),
    ['aes256/', 'sha256/', 'modp2048'],
    'algorithms are, as before',
  );
});

t.test('lists of the API keep to 80 columns and say what they leave out', async (t) => {
  const connection = {
    id: ID,
    name: 'headquarters-to-branch-office',
    status: 'down',
    peer: { address: '192.0.2.200', cidrs: ['10.200.100.0/24', '10.200.101.0/24'] },
    local: { cidrs: ['10.100.100.0/24'] },
    status_reasons: [
      { message: 'The peer at 192.0.2.200 does not answer. Check that UDP 500 and 4500 pass.' },
    ],
  };
  const gateway = {
    id: ID,
    name: 'headquarters-gateway',
    lifecycle_state: 'stable',
    health_state: 'ok',
    mode: 'policy',
    members: [{ public_ip: { address: '192.0.2.100' } }],
    subnet: { name: 'subnet-of-the-gateway' },
    vpc: { name: 'network-of-the-company' },
    connections: [{}],
  };
  for (const [items, view] of [
    [[connection], connectionView],
    [[gateway], gatewayView],
  ] as const) {
    const narrow = renderList(items, view, plainStyle, 80);
    for (const line of narrow) t.ok(line.length <= 80, line);
    t.match(narrow.join(' '), /Without .*ID.*: on a wider screen, in a pipe, or with --output json\./);
    t.notMatch(narrow.join('\n'), ID);
    const wide = renderList(items, view, plainStyle, undefined).join('\n');
    t.match(wide, ID, 'a pipe has all of it');
    t.notMatch(wide, /Without/);
  }
});

t.test('evidence is words, not JSON', async (t) => {
  const lines = renderConnection(
    {
      id: 'id-c',
      name: 'c',
      status: 'degraded',
      admin_state_up: true,
      establish_mode: 'bidirectional',
      peer: '192.0.2.2',
      ike: null,
      children: [],
      advisories: [],
      status_reasons: [
        {
          code: 'peer_not_responding',
          message: 'Some pairs are not covered.',
          more_info: 'vpc-vpn-health#vpn-connection-health',
          details: {
            uncovered: [
              { local: '10.1.0.0/24', peer: '10.2.0.0/24' },
              { local: '10.1.0.0/24', peer: '10.3.0.0/24' },
            ],
            selectors: { tsLocal: ['10.1.0.0/24'], count: 2 },
          } as never,
        },
      ],
    },
    { style: plainStyle, now: 0 },
  ).join('\n');
  t.match(lines, /uncovered +10\.1\.0\.0\/24 <> 10\.2\.0\.0\/24; 10\.1\.0\.0\/24 <> 10\.3\.0\.0\/24/);
  t.match(lines, /selectors +ts local 10\.1\.0\.0\/24, count 2/);
  t.notMatch(lines, /[{}[\]"]/);
  t.notMatch(lines, /vpc-vpn-health/, 'nothing that leads nowhere');
});
