/**
 * To be imported before anything else of the server. Node opens all files of an import at once, and the database's library
 * has the most by far: with the rest they are more than 256, the smallest limit of open files that is about.
 */
import 'kysely';
