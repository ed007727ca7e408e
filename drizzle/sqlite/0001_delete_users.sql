PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_sessions` (
	`id` text PRIMARY KEY NOT NULL,
	`user_id` text NOT NULL,
	`epoch` integer NOT NULL,
	`generation` integer NOT NULL,
	`previous` integer,
	`first` integer NOT NULL,
	`rotated_at` integer NOT NULL,
	`idle_expires_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`key_id` text NOT NULL,
	`previous_key_id` text,
	`revoked_at` integer,
	`revoked_reason` text,
	`created_at` integer NOT NULL,
	`ip` text NOT NULL,
	`user_agent` text NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_sessions`("id", "user_id", "epoch", "generation", "previous", "first", "rotated_at", "idle_expires_at", "expires_at", "key_id", "previous_key_id", "revoked_at", "revoked_reason", "created_at", "ip", "user_agent") SELECT "id", "user_id", "epoch", "generation", "previous", "first", "rotated_at", "idle_expires_at", "expires_at", "key_id", "previous_key_id", "revoked_at", "revoked_reason", "created_at", "ip", "user_agent" FROM `sessions`;--> statement-breakpoint
DROP TABLE `sessions`;--> statement-breakpoint
ALTER TABLE `__new_sessions` RENAME TO `sessions`;--> statement-breakpoint
PRAGMA foreign_keys=ON;--> statement-breakpoint
CREATE INDEX `sessions_user_id` ON `sessions` (`user_id`);--> statement-breakpoint
CREATE INDEX `sessions_expires_at` ON `sessions` (`expires_at`);