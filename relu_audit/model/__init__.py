"""What a file holds, before anything is known of its operators."""
