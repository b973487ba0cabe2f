package tfpwl.bundle;

import org.jetbrains.annotations.Nullable;
import tfpwl.BundleException;
import tfpwl.ManifestException;
import tfpwl.TiersException;

/** What a JSON text is, for messages, and the error for what is broken in it. */
enum Document {
    MANIFEST("the manifest", "export the bundle again") {
        @Override
        BundleException error(String message, @Nullable Throwable cause) {
            return new ManifestException(message, cause);
        }
    },
    TIERS("the file tiers.json", "build the tiers again") {
        @Override
        BundleException error(String message, @Nullable Throwable cause) {
            return new TiersException(message, cause);
        }
    };

    /** In the middle of a sentence. */
    final String title;

    /** What to do about a file that is broken as a whole. */
    final String again;

    Document(String title, String again) {
        this.title = title;
        this.again = again;
    }

    abstract BundleException error(String message, @Nullable Throwable cause);

    /** An error whose message begins with the document's name. */
    BundleException broken(String what, @Nullable Throwable cause) {
        return error(Character.toUpperCase(title.charAt(0)) + title.substring(1) + what, cause);
    }
}
