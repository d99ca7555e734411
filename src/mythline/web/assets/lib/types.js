// What the API gives, for the type checker; nothing of it is there when the page runs.

/**
 * @typedef {object} Agent
 * @property {string} agent_id
 * @property {number} session_count
 * @property {string | null} last_modified
 * @property {boolean} [runnable]
 */

/**
 * @typedef {object} Summary
 * @property {string} session_id
 * @property {string} last_modified
 * @property {number} message_count
 * @property {string | null} title
 * @property {string} preview
 * @property {string[]} tags
 * @property {boolean} pinned
 * @property {boolean} archived
 * @property {number} size
 * @property {string | null} [deleted]
 * @property {string | null} [purges]
 */

/**
 * @typedef {object} WaitingCall
 * @property {string} tool_call_id
 * @property {string} tool_name
 * @property {any} args
 */

/**
 * @typedef {object} Waiting
 * @property {WaitingCall[]} calls
 * @property {WaitingCall[]} approvals
 */

/**
 * @typedef {Summary & {
 *   agent_id: string,
 *   created: string,
 *   branches: string[],
 *   forked_from: string | null,
 *   forked_at: string | null,
 *   usage: Record<string, any>,
 *   metadata: Record<string, any>,
 *   deferred_tool_requests?: Waiting | null,
 *   revision: string,
 * }} Info
 */

/**
 * @typedef {object} Attachment
 * @property {string} kind
 * @property {string} [media_type]
 * @property {number} [size]
 * @property {string} [url]
 * @property {string} [name]
 * @property {number} [file]
 */

/**
 * @typedef {object} Reply
 * @property {string} [model_name]
 * @property {number} [input_tokens]
 * @property {number} [output_tokens]
 * @property {string} [state]
 * @property {string} [finish_reason]
 */

/**
 * @typedef {object} Item
 * @property {"user" | "assistant" | "system" | "thinking" | "tool-call" | "tool-return" | "unreadable"} role
 * @property {string} content HTML that the server made safe
 * @property {string} entry_id
 * @property {string | null} timestamp
 * @property {Attachment[]} attachments
 * @property {string} [tool_name]
 * @property {string} [tool_call_id]
 * @property {string} [outcome]
 * @property {Reply} [reply]
 */

/**
 * @typedef {object} Transcript
 * @property {string} session_id
 * @property {string | null} title
 * @property {string} revision
 * @property {Item[]} messages
 * @property {boolean} has_before
 * @property {boolean} has_after
 */

/**
 * @typedef {object} Branch
 * @property {string} entry_id
 * @property {string | null} parts_at
 * @property {number} message_count
 * @property {number} own_count
 * @property {string} preview
 * @property {string} last_modified
 */

/**
 * @typedef {object} Hit
 * @property {string} session_id
 * @property {string} agent_id
 * @property {string | null} title
 * @property {string} entry_id
 * @property {string} role
 * @property {string} snippet
 * @property {[number, number][]} marks
 * @property {string} last_modified
 * @property {string} timestamp
 * @property {boolean} is_current
 */

/**
 * @typedef {object} Finding
 * @property {string} kind
 * @property {string} explanation
 * @property {string | null} agent_id
 * @property {string | null} session_id
 * @property {boolean} can_fix
 */

/**
 * @typedef {object} StoreEvent
 * @property {string} type
 * @property {string | null} agent_id
 * @property {string | null} session_id
 * @property {string | null} revision
 */

/**
 * What the page shows; all of it is in the address.
 * @typedef {object} Place
 * @property {string} agent empty before one is known
 * @property {string} session empty for none
 * @property {string} entry the message to go to, or empty
 * @property {string} at the end of the branch to show, or empty for the history
 * @property {"" | "archived" | "trash"} within which sessions are listed
 * @property {string} tag
 * @property {string} q
 * @property {"" | "created" | "title"} order
 * @property {string | null} find what is searched for; null while the search is closed
 * @property {"" | "storage"} show
 */

export {};
