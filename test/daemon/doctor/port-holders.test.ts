import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { portHolders } from '../../../src/daemon/doctor/port-holders.js';

const UDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 010200C0:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  102: 00000000:1194 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
  103: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4713 2 0000000000000000 0
`;
const UDP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  201: 00000000000000000000000000000000:01F4 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4714 2 0000000000000000 0
  202: B80D0120000000000000000001000000:1194 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4715 2 0000000000000000 0
`;

t.test('sockets in the tables of the kernel', async (t) => {
  const read = (path: string): string => (path.endsWith('6') ? UDP6 : UDP);
  t.same(
    portHolders([500, 4500], read).map(({ port, address }) => `${port} ${address}`),
    ['500 192.0.2.1', '4500 0.0.0.0', '500 ::', '4500 2001:db8:0:0:0:0:0:1'],
  );
});

t.test('a socket of this process is found with its process', async (t) => {
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  t.match(portHolders([port]), [{ port, address: '127.0.0.1', pid: process.pid, program: String }]);
});

const BUSY = `
const socket = require('node:dgram').createSocket('udp4');
const { openSync, closeSync } = require('node:fs');
socket.bind(0, '127.0.0.1', () => {
  console.log(socket.address().port);
  const churn = () => {
    for (let i = 0; i < 50; i++) [openSync('/dev/null'), openSync('/dev/null')].forEach(closeSync);
    setImmediate(churn);
  };
  churn();
});`;

t.test('the process is found though it opens and closes other files meanwhile', async (t) => {
  const busy = spawn(process.execPath, ['-e', BUSY], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => busy.kill('SIGKILL'));
  const [line] = await once(busy.stdout, 'data');
  const port = Number(String(line));
  for (let i = 0; i < 30; i++) t.match(portHolders([port]), [{ port, pid: busy.pid }]);
});
