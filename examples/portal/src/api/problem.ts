/** What went wrong, as the gateway's problem+json (RFC 9457) tells it, or as this side saw it. Serialisable: it lies in the store. */
export interface Problem {
  /** The gateway's stable code (docs/ERRORS.md), or one of ours: offline, unreachable, timeout, cancelled, session_ended. */
  reason: string;
  /** HTTP status; 0 where no answer came. */
  status: number;
  title?: string;
  /** Seconds, from Retry-After. */
  retryAfter?: number;
  traceId?: string;
  /** Only with mfa_required. */
  mfaToken?: string;
  methods?: string[];
}

/** Thrown by everything in this folder. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.reason);
    this.name = 'Refused';
  }
}

export function problemOf(error: unknown): Problem {
  return error instanceof Refused ? error.problem : { reason: 'internal', status: 0, title: String(error) };
}

/** Retry-After in seconds or as a date (RFC 9110 §10.2.3); undefined where it is absent or nonsense. */
export function retryAfter(value: string | null, now: number): number | undefined {
  if (!value) return undefined;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000);
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 86400) : undefined;
}

export function problemFrom(status: number, body: unknown, retry: string | null, now: number): Problem {
  const p = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const text = (name: string) => (typeof p[name] === 'string' ? (p[name] as string) : undefined);
  return {
    reason: text('reason') ?? `http_${status}`,
    status,
    title: text('title'),
    retryAfter: retryAfter(retry, now),
    traceId: text('trace_id'),
    mfaToken: text('mfa_token'),
    methods: Array.isArray(p.methods) ? p.methods.filter((m): m is string => typeof m === 'string') : undefined,
  };
}

const SERVICE_DOWN = 'The service is not available at the moment. Nothing is lost; please try again shortly.';

const FILE_NAME = 'This file name has characters that are not accepted, or is too long. Rename the file and try again.';

/** One sentence a person understands, by reason. */
const SENTENCES: Record<string, string> = {
  offline: 'You are offline. Check your network connection.',
  unreachable: 'ClinicWave cannot be reached. Check your network connection, then try again.',
  timeout: 'ClinicWave did not answer in time. Please try again.',
  cancelled: 'Cancelled.',
  session_ended: 'Your session has ended. Please sign in again.',
  credentials_invalid: 'The user name or the password is not right.',
  account_blocked: 'This account is blocked. Please contact your administrator.',
  password_leaked: 'This password is known from a leak elsewhere and can no longer be used. Please contact your administrator for a new one.',
  password_expired: 'Your password has expired and must be changed.',
  password_too_short: 'The new password is too short.',
  password_too_long: 'The new password is too long.',
  password_too_common: 'The new password is too common and easily guessed. Please choose another one.',
  password_unchanged: 'The new password is the old one. Please choose another one.',
  idp_managed: 'Your password is managed by the login service of your organisation. Please change it there.',
  throttled: 'Too many attempts. Please wait a moment.',
  too_many_requests: 'Too many requests. Please wait a moment.',
  idp_unavailable: "Your organisation's login service does not answer. Please try again shortly.",
  login_overloaded: 'Many people are signing in right now. Please try again in a moment.',
  idp_misconfigured: "Your organisation's login service is not set up rightly. Please tell your administrator; your password is not the cause.",
  login_denied: 'Your organisation does not let you sign in here. Please contact your administrator.',
  verification_required: 'Your organisation wants to verify this login first. Please check your e-mail, or contact your administrator.',
  mfa_required: 'A code is needed to sign in.',
  mfa_blocked: 'Too many codes were wrong. Please use a recovery code, or ask your administrator.',
  mfa_invalid: 'The code is not right, or it is too old. Please try the next one.',
  mfa_token_invalid: 'That took too long. Please enter your password again.',
  mfa_pending: 'The login was not confirmed yet. Please confirm it on your device, then continue.',
  mfa_method_unsupported: 'This second factor is not supported here. Please choose another one.',
  mfa_not_offered: 'Your organisation does not allow this for second factors.',
  conflict: 'This was changed elsewhere in the meantime. Please reload the page and try again.',
  tenant_disabled: 'Your organisation has been disabled here. Please contact your administrator.',
  tenant_unknown: 'No organisation is known under this address.',
  origin_forbidden: 'This page may not sign in here. Please open the address of your organisation.',
  scope_insufficient: 'You do not have permission to do this.',
  role_insufficient: 'Your role does not allow this.',
  subject_forbidden: 'You do not have permission to do this.',
  permission_denied: 'You do not have permission to do this.',
  not_found: 'It is no longer there.',
  path_ambiguous: FILE_NAME,
  file_name_refused: FILE_NAME,
  entry_refused: 'What you entered is too long, or has characters that are not accepted.',
  request_malformed: 'The request was not understood.',
  request_too_large: 'The file is too large.',
  no_instance: SERVICE_DOWN,
  upstream_failed: SERVICE_DOWN,
  upstream_timeout: SERVICE_DOWN,
};

export function sentence(problem: Problem): string {
  return SENTENCES[problem.reason] ?? (problem.status >= 500 ? SERVICE_DOWN : (problem.title ?? 'Something went wrong.'));
}

const renamed = (problem: Problem, reasons: string[], reason: string): Problem => (reasons.includes(problem.reason) ? { ...problem, reason } : problem);

/** Of a form: what the server cannot read is what the user typed. */
export const ofForm = (problem: Problem) => renamed(problem, ['request_malformed', 'request_too_large'], 'entry_refused');

/** Of an upload: what is unreadable, or nowhere, is the file's name. */
export const ofUpload = (problem: Problem) => renamed(problem, ['request_malformed', 'not_found', 'uri_too_long'], 'file_name_refused');

/** Whether the same may well work later, without anybody doing anything else. */
export function passing(problem: Problem): boolean {
  return problem.status === 0 || problem.status === 408 || problem.status === 429 || problem.status >= 500;
}
