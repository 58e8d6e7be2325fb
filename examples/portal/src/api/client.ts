import type { Keeper } from '../session/keeper';
import { good, type Reply, type Request, type Transport } from './transport';

/** A call with the user's access token. Rejects with Refused. */
export type Call = (request: Request) => Promise<Reply>;

/**
 * Every call gets a token that is still good; one that is refused all the same (revoked keys, a clock that stepped) is renewed and
 * the call is sent once more, never twice. However many calls that happens to at once, the keeper refreshes once.
 */
export function makeCall(keeper: Pick<Keeper, 'token' | 'renew'>, transport: Transport): Call {
  return async (request) => {
    const token = await keeper.token();
    const first = await transport({ ...request, token });
    if (first.status !== 401) return good(first);
    return good(await transport({ ...request, token: await keeper.renew(token) }));
  };
}
