import { Readable } from 'node:stream';
import { CaptureRefused, type CaptureWish } from '../../api/runner.js';
import { oneLine } from '../../util/operator-error.js';
import { ControlClient } from '../control/client.js';

/**
 * The file of a capture as a gateway process sends it. A reader that is slow holds it up as far as the gateway's
 * socket, and no further: what passes there meanwhile is counted as lost, and the end of the file says so. Destroying
 * the stream ends the capture.
 * @param socket path of the control socket of the process
 * @param connection its id
 * @throws CaptureRefused when it does not begin
 */
export async function captureStream(
  socket: string,
  connection: string,
  wish: CaptureWish,
): Promise<Readable> {
  const client = await ControlClient.connect(socket).catch((error: unknown) => {
    throw new CaptureRefused(`the gateway process does not answer (${oneLine(error)})`);
  });
  const stream = new Readable({
    read: () => client.resume(),
    destroy(error, done) {
      client.close();
      done(error);
    },
  });
  const { member: _, ...limits } = wish;
  return await new Promise((resolve, reject) => {
    let begun = false;
    const refuse = (error: unknown): void => {
      if (begun) stream.destroy(error as Error);
      else {
        client.close();
        reject(new CaptureRefused(oneLine(error)));
      }
    };
    const part = ({ file }: { readonly file?: string }): void => {
      if (file === undefined) return;
      begun = true;
      if (!stream.push(Buffer.from(file, 'base64'))) client.pause();
      resolve(stream);
    };
    client.capture({ name: connection, ...limits }, part).then(() => stream.push(null), refuse);
  });
}
