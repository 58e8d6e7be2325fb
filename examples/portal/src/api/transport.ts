import { problemFrom, Refused, type Problem } from './problem';

export interface Request {
  method: string;
  path: string;
  json?: unknown;
  body?: Blob;
  token?: string;
  /** Milliseconds without an answer; transfers with progress have none. */
  timeout?: number;
  signal?: AbortSignal;
  /** Bytes so far, of how many (0: not known). */
  onProgress?: (done: number, total: number) => void;
}

export interface Reply {
  status: number;
  header(name: string): string | null;
  json(): Promise<unknown>;
  blob(): Promise<Blob>;
}

/** One request, no policy. Rejects with Refused where no answer came; every answer, good or bad, is a Reply. */
export type Transport = (request: Request) => Promise<Reply>;

const TIMEOUT_MS = 20_000;

function headersOf(request: Request): Record<string, string> {
  const headers: Record<string, string> = { Accept: 'application/json, application/problem+json, */*;q=0.5' };
  if (request.token) headers.Authorization = `Bearer ${request.token}`;
  if (request.json !== undefined) headers['Content-Type'] = 'application/json';
  else if (request.body) headers['Content-Type'] = request.body.type || 'application/octet-stream';
  return headers;
}

const noAnswer = (reason: string): Problem => ({ reason, status: 0 });
const silence = () => noAnswer(globalThis.navigator?.onLine === false ? 'offline' : 'unreachable');

/** fetch, without cookies, caches or redirects: what the gateway answers is what the caller gets. */
async function byFetch(request: Request): Promise<Reply> {
  const timer = new AbortController();
  const timeout = setTimeout(() => timer.abort(), request.timeout ?? TIMEOUT_MS);
  const forward = () => timer.abort();
  request.signal?.addEventListener('abort', forward, { once: true });
  try {
    const answer = await fetch(request.path, {
      method: request.method,
      headers: headersOf(request),
      body: request.json !== undefined ? JSON.stringify(request.json) : request.body,
      credentials: 'omit',
      cache: 'no-store',
      redirect: 'error',
      signal: timer.signal,
    });
    const content = await answer.arrayBuffer();
    return {
      status: answer.status,
      header: (name) => answer.headers.get(name),
      json: async () => JSON.parse(new TextDecoder().decode(content)),
      blob: async () => new Blob([content]),
    };
  } catch {
    throw new Refused(request.signal?.aborted ? noAnswer('cancelled') : timer.signal.aborted ? noAnswer('timeout') : silence());
  } finally {
    clearTimeout(timeout);
    request.signal?.removeEventListener('abort', forward);
  }
}

/** XMLHttpRequest: fetch tells nothing about the progress of an upload. */
function byXhr(request: Request): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(request.method, request.path);
    xhr.responseType = 'blob';
    for (const [name, value] of Object.entries(headersOf(request))) xhr.setRequestHeader(name, value);
    const told = (e: ProgressEvent) => request.onProgress?.(e.loaded, e.lengthComputable ? e.total : 0);
    (request.body ? xhr.upload : xhr).onprogress = told;
    xhr.onerror = () => reject(new Refused(silence()));
    xhr.onabort = () => reject(new Refused(noAnswer('cancelled')));
    xhr.onload = () =>
      resolve({
        status: xhr.status,
        header: (name) => xhr.getResponseHeader(name),
        json: async () => JSON.parse(await (xhr.response as Blob).text()),
        blob: async () => xhr.response as Blob,
      });
    if (request.signal?.aborted) return reject(new Refused(noAnswer('cancelled')));
    request.signal?.addEventListener('abort', () => xhr.abort(), { once: true });
    xhr.send(request.body);
  });
}

export const browserTransport: Transport = (request) => (request.onProgress ? byXhr(request) : byFetch(request));

/** The reply where it is good, else Refused with its problem. */
export async function good(reply: Reply): Promise<Reply> {
  if (reply.status >= 200 && reply.status < 300) return reply;
  const body = await reply.json().catch(() => null);
  throw new Refused(problemFrom(reply.status, body, reply.header('Retry-After'), Date.now()));
}
